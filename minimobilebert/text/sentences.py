"""Cut a paragraph into sentences with a few rules that can be read in a minute.

A sentence ends at `.`, `!` or `?`, with any closing quotes or brackets after it, when white space follows and
the next word begins with a capital letter or a digit (an opening quote or bracket may come first). A full stop
does not end a sentence when it belongs to

* an abbreviation that a name follows (`Mr. Elton`),
* an abbreviation that a number follows (`No. 5`, but not `I said no. Then ...`),
* one or more initials (`J. Q. Adams`, `U.S. Treasury`); `I.` alone is taken as the word, not an initial.

The rules are for English. Next-sentence prediction does not need them to be perfect: it only needs pieces of
text that follow each other.
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
# Begun only at the first of several marks: tried at each of them, a line of 100,000 dots would take an hour.
_BOUNDARY = re.compile(rf"(?<![.!?])[.!?]+[{_CLOSING}]*(\s+)(?=[{_OPENING}]*[^\W_a-zß-ÿ])")
_INITIALS = re.compile(r"(?:[A-Za-z]\.)+[A-Za-z]|[A-HJ-Z]")


def _is_abbreviation(text, stop, next_character):
    """Whether the word that ends just before the full stop `text[stop]` is an abbreviation."""
    start = stop
    while start > 0 and (text[start - 1].isalpha() or text[start - 1] == "."):
        start -= 1
    word = text[start:stop]
    if word.lower() in BEFORE_NUMBERS:
        return next_character.isdigit()
    return word.lower() in BEFORE_NAMES or _INITIALS.fullmatch(word) is not None


def split_sentences(paragraph):
    """paragraph: str -> its sentences, list of str, none of them empty. Joined with spaces they are the paragraph."""
    sentences, start = [], 0
    for boundary in _BOUNDARY.finditer(paragraph):
        stop, end = boundary.span()
        if paragraph[stop] == "." and _is_abbreviation(paragraph, stop, paragraph[end]):
            continue
        sentences.append(paragraph[start : boundary.start(1)])
        start = end
    sentences.append(paragraph[start:])
    return [sentence for sentence in (sentence.strip() for sentence in sentences) if sentence]
