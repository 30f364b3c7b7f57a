"""The Unicode properties that BERT's tokeniser uses, equal in all versions of Python.

    character_class(c)   general category: "Ll", "Mn", "Po" ...      as in Unicode 8
    decompose(c)         canonical decomposition (NFD)               as in Unicode 9
    combining_class(c)   canonical combining class, sorts marks      as in Unicode 9
    lower(c)             lower case                                  as in Unicode 17

Python's `unicodedata` has a newer Unicode version, which depends on the version of Python (14 in Python 3.11, 16 in
3.14). The pieces of a text must not depend on it. The four versions are those of Hugging Face's fast tokeniser
(tokenizers 0.23). The tables below correct Python's data to them. They include the changes from Unicode 14 to 18. For
capital letters that are newer than Unicode 17, the result depends on the version of Python.
"""

import bisect
import unicodedata


def ranges(*pairs):
    """(first, last), ... -> sorted code points for `within`: the start and the end of each range."""
    return [code for first, last in sorted(pairs) for code in (first, last + 1)]


def within(code, row):
    """True if the code point is in one of the `ranges`."""
    return bisect.bisect_right(row, code) % 2 == 1


# Ranges with marks, punctuation and control characters that are newer than Unicode 8. The tokeniser treats them as
# letters. All other characters in the ranges are letters or unassigned.
_AFTER_UNICODE_8 = ranges(
    (0x5C8, 0x5C9), (0x61D, 0x61D), (0x7FD, 0x7FD), (0x890, 0x8E2), (0x9FD, 0x9FE), (0xA76, 0xA76), (0xAFA, 0xAFF),
    (0xB53, 0xB55), (0xC04, 0xC04), (0xC3C, 0xC3C), (0xC77, 0xC77), (0xC84, 0xC84), (0xD00, 0xD00), (0xD3B, 0xD3C),
    (0xD81, 0xD81), (0xEBA, 0xEBA), (0xECE, 0xECE), (0x180F, 0x1886), (0x1ABF, 0x1AF0), (0x1B4E, 0x1B4F),
    (0x1B7D, 0x1B7F), (0x1DF6, 0x1DFB), (0x2E43, 0x2E63), (0xA82C, 0xA82C), (0xA8C5, 0xA8C5), (0xA8FF, 0xA8FF),
    (0xA9BD, 0xA9BD), (0x10D24, 0x10F89), (0x11070, 0x11074), (0x110C2, 0x110CD), (0x111CF, 0x111CF),
    (0x1123E, 0x11241), (0x1133B, 0x1133B), (0x113BB, 0x1145E), (0x11660, 0x1166C), (0x116B9, 0x116B9),
    (0x1182F, 0x11FFF), (0x12FF1, 0x1612F), (0x16D6D, 0x16F4F), (0x16FE2, 0x16FE4), (0x1CF00, 0x1CF46),
    (0x1D127, 0x1D128), (0x1D25B, 0x1D25C), (0x1E000, 0x1E5FF), (0x1E6E3, 0x1E6F5), (0x1E944, 0x1E95F),
)  # fmt: skip
_CLASS_IN_UNICODE_8 = {0x111C9: "Po", 0x166D: "Po", 0x1734: "Mn", 0x1171E: "Mn"}  # four that have changed since

_DECOMPOSED_AFTER_UNICODE_9 = ranges(
    (0x105C9, 0x105C9), (0x105E4, 0x105E4), (0x11383, 0x113C8), (0x11938, 0x11938), (0x16121, 0x16128),
    (0x16D68, 0x16D6A),
)  # fmt: skip

# Combining characters that are not in category Mn of Unicode 8 (spacing marks, and marks of Unicode 9). The tokeniser
# keeps them, so their order matters. first, last, combining class
_COMBINING_NOT_MN = (
    (0x8D4, 0x8E1, 230), (0x1B44, 0x1B44, 9), (0x1BAA, 0x1BAA, 9), (0x1BF2, 0x1BF3, 9), (0x1DFB, 0x1DFB, 230),
    (0x302E, 0x302F, 224), (0xA953, 0xA953, 9), (0xA9C0, 0xA9C0, 9), (0x111C0, 0x111C0, 9), (0x11235, 0x11235, 9),
    (0x1134D, 0x1134D, 9), (0x11442, 0x11442, 9), (0x11446, 0x11446, 7), (0x116B6, 0x116B6, 9), (0x11C3F, 0x11C3F, 9),
    (0x1D165, 0x1D166, 216), (0x1D16D, 0x1D16D, 226), (0x1D16E, 0x1D172, 216), (0x1E000, 0x1E006, 230),
    (0x1E008, 0x1E018, 230), (0x1E01B, 0x1E021, 230), (0x1E023, 0x1E024, 230), (0x1E026, 0x1E02A, 230),
    (0x1E944, 0x1E949, 230), (0x1E94A, 0x1E94A, 7),
)  # fmt: skip
COMBINING_NOT_MN = {code: number for first, last, number in _COMBINING_NOT_MN for code in range(first, last + 1)}

# Capital letters of Unicode 15 to 17, for older versions of Python: first, last, the lower case of the first.
_CAPITALS = (
    (0x1C89, 0x1C89, 0x1C8A), (0xA7CB, 0xA7CB, 0x264), (0xA7CC, 0xA7CC, 0xA7CD), (0xA7CE, 0xA7CE, 0xA7CF),
    (0xA7D2, 0xA7D2, 0xA7D3), (0xA7D4, 0xA7D4, 0xA7D5), (0xA7DA, 0xA7DA, 0xA7DB), (0xA7DC, 0xA7DC, 0x19B),
    (0x10D50, 0x10D65, 0x10D70), (0x16EA0, 0x16EB8, 0x16EBB),
)  # fmt: skip
_LOWER = {chr(n): chr(n - first + small) for first, last, small in _CAPITALS for n in range(first, last + 1)}


def character_class(character):
    """The two-letter general category; "Lo" for characters that are newer than Unicode 8."""
    code = ord(character)
    if within(code, _AFTER_UNICODE_8):
        return "Lo"
    return _CLASS_IN_UNICODE_8.get(code) or unicodedata.category(character)


def is_punctuation(character):
    """True for Unicode punctuation and, as in BERT, for all ASCII symbols such as "$" and "^"."""
    if character.isascii():
        return character.isprintable() and not character.isalnum() and character != " "
    return character_class(character).startswith("P")


def decompose(character):
    """The canonical decomposition: "é" -> "e" and a mark. Most characters decompose to themselves."""
    if within(ord(character), _DECOMPOSED_AFTER_UNICODE_9):
        return character
    return unicodedata.normalize("NFD", character)


def combining_class(character):
    """The canonical combining class: 0 for a base character; NFD sorts adjacent marks by their classes."""
    if character_class(character) == "Mn":
        return unicodedata.combining(character)
    return COMBINING_NOT_MN.get(ord(character), 0)


def lower(character):
    """Lower case of one character, independent of its neighbours."""
    return _LOWER.get(character) or character.lower()
