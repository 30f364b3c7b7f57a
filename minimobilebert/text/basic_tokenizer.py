"""BERT's first tokeniser: raw text to words, the uncased way.

    1. clean        control characters and U+FFFD go; every kind of space becomes " "
    2. CJK          a space on both sides of every Chinese character: each is a word of its own
    3. accents      decompose (NFD), then drop the marks (category Mn):  "é" -> "e" + mark -> "e"
    4. lower case   one character at a time
    5. punctuation  every punctuation character is a word of its own
    6. split at white space

Each step but NFD looks at one character at a time, so steps 1-2 and 3-5 are two look-up tables for
`str.translate`. They fill themselves: a character is classified when it is first seen.

The result is that of Hugging Face's fast tokeniser. Google's first program differs from it in a few corners: it
keeps private-use characters, and it writes the last sigma of a Greek word as Python's `lower` does.
"""

import unicodedata

# The blocks of CJK ideographs, first and last code point. Hangul, Hiragana and Katakana are not here: their
# words are written with spaces, or cut by WordPiece. (In Google's list the sixth block starts at 0x2B820.)
_CJK_BLOCKS = (
    (0x4E00, 0x9FFF),
    (0x3400, 0x4DBF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B920, 0x2CEAF),
    (0xF900, 0xFAFF),
    (0x2F800, 0x2FA1F),
)

# Python's `unicodedata` grows with every version of Python; the pieces of a text must not change with it. BERT's
# character classes are those of Unicode 8. Marks, punctuation and controls in these ranges came later and count
# as ordinary characters; everything else in the ranges is an ordinary character anyway.
_AFTER_UNICODE_8 = (
    (0x61D, 0x61D), (0x7FD, 0x7FD), (0x890, 0x8E2), (0x9FD, 0x9FE), (0xA76, 0xA76), (0xAFA, 0xAFF), (0xB55, 0xB55),
    (0xC04, 0xC3C), (0xC77, 0xC77), (0xC84, 0xC84), (0xD00, 0xD00), (0xD3B, 0xD3C), (0xD81, 0xD81), (0xEBA, 0xEBA),
    (0xECE, 0xECE), (0x180F, 0x1886), (0x1ABF, 0x1ACE), (0x1B4E, 0x1B4F), (0x1B7D, 0x1B7F), (0x1DF6, 0x1DFB),
    (0x2E43, 0x2E5D), (0xA82C, 0xA82C), (0xA8C5, 0xA8C5), (0xA8FF, 0xA8FF), (0xA9BD, 0xA9BD), (0x10D24, 0x10F89),
    (0x11070, 0x11074), (0x110C2, 0x110CD), (0x111CF, 0x111CF), (0x1123E, 0x11241), (0x1133B, 0x1133B),
    (0x113BB, 0x1145E), (0x11660, 0x1166C), (0x116B9, 0x116B9), (0x1182F, 0x11FFF), (0x12FF1, 0x1612F),
    (0x16D6D, 0x16F4F), (0x16FE2, 0x16FE4), (0x1CF00, 0x1CF46), (0x1E000, 0x1E5FF), (0x1E944, 0x1E95F),
)  # fmt: skip


_CLASS_IN_UNICODE_8 = {0x111C9: "Po", 0x166D: "Po", 0x1734: "Mn"}  # three that have changed since


def _within(code, ranges):
    return any(first <= code <= last for first, last in ranges)


def character_class(character):
    """The two-letter general category that BERT goes by: "Ll", "Mn", "Po" ..., or "Lo" for what came later."""
    code = ord(character)
    if _within(code, _AFTER_UNICODE_8):
        return "Lo"
    return _CLASS_IN_UNICODE_8.get(code) or unicodedata.category(character)


def is_punctuation(character):
    """Unicode punctuation, and every other ASCII symbol: "$" and "^" are no letters either."""
    if character.isascii():
        return character.isprintable() and not character.isalnum() and character != " "
    return character_class(character).startswith("P")


class _CleanTable(dict):
    """Code point -> what steps 1 and 2 replace it with."""

    def __missing__(self, code):
        character = chr(code)
        category = character_class(character)
        if character in "\t\n\r" or category == "Zs":
            replacement = " "
        elif category in ("Cc", "Cf", "Co") or character == "\ufffd":
            replacement = ""
        elif _within(code, _CJK_BLOCKS):
            replacement = f" {character} "
        else:
            replacement = character
        self[code] = replacement
        return replacement


class _SeparateTable(dict):
    """Code point -> what steps 3 (after NFD), 4 and 5 replace it with."""

    def __missing__(self, code):
        character = chr(code)
        if character_class(character) == "Mn":
            replacement = ""
        elif is_punctuation(character):
            replacement = f" {character} "
        else:
            replacement = character.lower()
        self[code] = replacement
        return replacement


_CLEAN, _SEPARATE = _CleanTable(), _SeparateTable()


def basic_tokenize(text):
    """text: str -> list of words and punctuation characters, lower case, without accents."""
    return unicodedata.normalize("NFD", text.translate(_CLEAN)).translate(_SEPARATE).split()
