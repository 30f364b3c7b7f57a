"""BERT's first tokeniser: raw text to words, the uncased way, and where in the text each character came from.

    1. clean        control characters and U+FFFD go; every kind of space becomes " "
    2. CJK          a space on both sides of every Chinese character: each is a word of its own
    3. accents      decompose (NFD), then drop the marks (category Mn):  "é" -> "e" + mark -> "e"
    4. lower case   one character at a time
    5. punctuation  every punctuation character is a word of its own
    6. split at white space

Steps 1 to 5 look at one character at a time, so they are one look-up table for `str.translate`. It fills itself: a
character is worked out when it is first seen. Only NFD also sorts: neighbouring marks come into a fixed order. Nearly
all marks are dropped, and then their order does not matter; a text with one of the few that stay is sorted first.

The result is that of Hugging Face's fast tokeniser. Google's first program differs from it in a few corners: it
keeps private-use characters, and it writes the last sigma of a Greek word as Python's `lower` does.
"""

import re

from . import unicode_classes as unicode

# The blocks of CJK ideographs, first and last code point. Hangul, Hiragana and Katakana are not here: their
# words are written with spaces, or cut by WordPiece. (In Google's list the sixth block starts at 0x2B820.)
_CJK_BLOCKS = unicode.ranges(
    (0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F), (0x2B740, 0x2B81F),
    (0x2B920, 0x2CEAF), (0xF900, 0xFAFF), (0x2F800, 0x2FA1F),
)  # fmt: skip

_WORD = re.compile(r"\S+")
_MARK_THAT_STAYS = re.compile(f"[{''.join(map(chr, unicode.COMBINING_NOT_MN))}]")


def _clean(character):
    """Steps 1 and 2 for one character -> str."""
    category = unicode.character_class(character)
    if character in "\t\n\r" or category == "Zs":
        return " "
    if category in ("Cc", "Cf", "Co") or character == "\ufffd":
        return ""
    return f" {character} " if unicode.within(ord(character), _CJK_BLOCKS) else character


def _separate(character):
    """Steps 3 (after NFD), 4 and 5 for one character -> str."""
    if unicode.character_class(character) == "Mn":
        return ""
    return f" {character} " if unicode.is_punctuation(character) else unicode.lower(character)


class Table(dict):
    """Code point -> what steps 1 to 5 make of it."""

    def __missing__(self, code):
        replacement = "".join(_separate(part) for c in _clean(chr(code)) for part in unicode.decompose(c))
        self[code] = replacement
        return replacement


_TABLE = Table()


def in_canonical_order(text):
    """The marks that NFD would sort, sorted -> text, sources: list of int, one a character

    sources[i] is the place in the old text that character i counts for. Like Hugging Face's tokeniser we sort the
    characters, not the places: the first of two exchanged marks counts for the place where the other one stood.
    """
    runs, places = [[]], []  # a run: characters of class 0, then marks; (class, character, begins a place)
    for i, character in enumerate(text):
        if not _clean(character):
            continue
        places.append(i)
        parts = unicode.decompose(character)
        if not any(map(unicode.combining_class, parts)):
            parts = character  # the table will do it
        for j, part in enumerate(parts):
            number = unicode.combining_class(part)
            if number == 0:
                runs.append([])
            runs[-1].append((number, part, j == 0))
    ordered = [unit for run in runs for unit in sorted(run, key=lambda unit: unit[0])]
    sources, place = [], -1
    for _, _, begins in ordered:
        place += begins
        sources.append(places[place])
    return "".join(part for _, part, _ in ordered), sources


def basic_tokenize(text):
    """text: str -> list of words and punctuation characters, lower case, without accents."""
    if not text.isascii() and _MARK_THAT_STAYS.search(text):
        text, _ = in_canonical_order(text)
    return text.translate(_TABLE).split()


def basic_tokenize_with_sources(text):
    """text: str -> list of (word, sources); sources[k] is the place in the text that word[k] came from."""
    if text.isascii() and text.isalnum():  # one word, and no character becomes more or fewer
        return [(text.lower(), range(len(text)))]
    sources = range(len(text))
    if _MARK_THAT_STAYS.search(text):
        text, sources = in_canonical_order(text)
    parts = [_TABLE[code] for code in map(ord, text)]
    sources = [i for i, part in zip(sources, parts, strict=True) for _ in part]
    return [(word.group(), sources[word.start() : word.end()]) for word in _WORD.finditer("".join(parts))]
