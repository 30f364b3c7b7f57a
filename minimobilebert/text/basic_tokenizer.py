"""BERT's basic tokeniser (uncased): raw text to words, with the source position of each character.

    1. clean        remove control characters and U+FFFD; replace each kind of space by " "
    2. CJK          put spaces around each Chinese character, so that it is a word
    3. accents      decompose (NFD), then remove the marks (category Mn):  "é" -> "e" + mark -> "e"
    4. lower case   one character at a time
    5. punctuation  put spaces around each punctuation character, so that it is a word
    6. split at white space

Steps 1 to 5 treat each character separately, so they are one table for `str.translate`. The table computes an entry
when a character first occurs. The exception is NFD, which also sorts adjacent marks. We remove nearly all marks, so
their order does not matter; a text with one of the few other marks is sorted before.

The result is that of Hugging Face's fast tokeniser. Google's original tokeniser differs in a few cases: it keeps
private-use characters, and it lower-cases a final sigma as Python's `lower` does.
"""

import re

from . import unicode_classes as unicode

# The first and last code points of the blocks of CJK ideographs. Hangul, Hiragana and Katakana are not among them:
# spaces or WordPiece separate their words. (In Google's list the sixth block starts at 0x2B820.)
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
    """Code point -> its replacement by steps 1 to 5."""

    def __missing__(self, code):
        replacement = "".join(_separate(part) for c in _clean(chr(code)) for part in unicode.decompose(c))
        self[code] = replacement
        return replacement


_TABLE = Table()


def in_canonical_order(text):
    """Sort the marks as NFD does -> text, sources: list of int, one per character

    sources[i] is the position of character i in the input. Like Hugging Face's tokeniser we sort only the characters:
    if two marks are exchanged, each gets the position of the other.
    """
    # A run is a character of class 0 and the marks after it: (class, character, does it start an input position?)
    runs, positions = [[]], []
    for i, character in enumerate(text):
        if not _clean(character):
            continue
        positions.append(i)
        parts = unicode.decompose(character)
        if not any(map(unicode.combining_class, parts)):
            parts = character  # the table decomposes it later
        for j, part in enumerate(parts):
            number = unicode.combining_class(part)
            if number == 0:
                runs.append([])
            runs[-1].append((number, part, j == 0))
    ordered = [unit for run in runs for unit in sorted(run, key=lambda unit: unit[0])]
    sources, index = [], -1
    for _, _, begins in ordered:
        index += begins
        sources.append(positions[index])
    return "".join(part for _, part, _ in ordered), sources


def basic_tokenize(text):
    """text: str -> list of words and punctuation characters, lower case, without accents."""
    if not text.isascii() and _MARK_THAT_STAYS.search(text):
        text, _ = in_canonical_order(text)
    return text.translate(_TABLE).split()


def basic_tokenize_with_sources(text):
    """text: str -> list of (word, sources); sources[k] is the position of word[k] in the text."""
    if text.isascii() and text.isalnum():  # one word; each character stays one character
        return [(text.lower(), range(len(text)))]
    sources = range(len(text))
    if _MARK_THAT_STAYS.search(text):
        text, sources = in_canonical_order(text)
    parts = [_TABLE[code] for code in map(ord, text)]
    sources = [i for i, part in zip(sources, parts, strict=True) for _ in part]
    return [(word.group(), sources[word.start() : word.end()]) for word in _WORD.finditer("".join(parts))]
