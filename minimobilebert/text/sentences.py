"""Split a paragraph into sentences with a few rules.

A sentence ends at `.`, `!` or `?` and any closing quotes or brackets after it, if white space follows and the next word
starts with a capital letter or a digit (perhaps after an opening quote or bracket). A full stop does not end a sentence
if it belongs to

* an abbreviation before a name (`Mr. Elton`),
* an abbreviation before a number (`No. 5`, but not `I said no. Then ...`),
* initials (`J. Q. Adams`, `U.S. Treasury`); `I.` alone is a word, not an initial.

The rules are for English. They are not perfect, which next-sentence prediction does not need: it only needs consecutive
segments of text.
"""

import re

BEFORE_NAMES = frozenset(
    "mr mrs ms messrs dr st sr jr rev hon gen col capt lieut lt maj sgt gov sen rep pres prof esq mme mlle "
    "vs viz cf dept inc co corp bros".split()
)
BEFORE_NUMBERS = frozenset(
    "no nos vol vols chap ch sec secs art arts fig figs p pp jan feb mar apr jun jul aug sept sep oct nov dec".split()
)

_CLOSING = "\"'\u201d\u2019)\\]"
_OPENING = "\"'\u201c\u2018(\\["
# A match starts only at the first of several marks. Otherwise the time for a line of n dots would grow with n^2.
_BOUNDARY = re.compile(rf"(?<![.!?])[.!?]+[{_CLOSING}]*(\s+)(?=[{_OPENING}]*[^\W_a-zß-ÿ])")
_INITIALS = re.compile(r"(?:[A-Za-z]\.)+[A-Za-z]|[A-HJ-Z]")


def _is_abbreviation(text, stop, next_character):
    """True if the word before the full stop `text[stop]` is an abbreviation."""
    start = stop
    while start > 0 and (text[start - 1].isalpha() or text[start - 1] == "."):
        start -= 1
    word = text[start:stop]
    if word.lower() in BEFORE_NUMBERS:
        return next_character.isdigit()
    return word.lower() in BEFORE_NAMES or _INITIALS.fullmatch(word) is not None


def split_sentences(paragraph):
    """paragraph: str -> its sentences, list of non-empty str. Joined with spaces, they are the paragraph."""
    sentences, start = [], 0
    for boundary in _BOUNDARY.finditer(paragraph):
        stop, end = boundary.span()
        if paragraph[stop] == "." and _is_abbreviation(paragraph, stop, paragraph[end]):
            continue
        sentences.append(paragraph[start : boundary.start(1)])
        start = end
    sentences.append(paragraph[start:])
    return [sentence for sentence in (sentence.strip() for sentence in sentences) if sentence]
