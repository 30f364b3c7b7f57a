"""Learning a vocabulary: a case worked by hand, and a trainer that recounts everything after every merge."""

import collections
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minimobilebert.text.corpus import Document
from minimobilebert.text.wordpiece import SPECIAL_TOKENS, WordPieceTokenizer
from minimobilebert.text.wordpiece_trainer import count_words, train_wordpiece


def test_by_hand():
    """sea x 6, seal x 4, tea x 3

    pairs: (##e, ##a) 13, (s, ##e) 10, (##a, ##l) 4, (t, ##e) 3   -> ##ea
    then:  (s, ##ea) 10, (##ea, ##l) 4, (t, ##ea) 3               -> sea
    then:  (sea, ##l) 4, (t, ##ea) 3                              -> seal, then tea
    """
    counts = {"sea": 6, "seal": 4, "tea": 3}
    alphabet = ["##a", "##e", "##l", "s", "t"]
    assert train_wordpiece(counts, 20, progress=False) == [*SPECIAL_TOKENS, *alphabet, "##ea", "sea", "seal", "tea"]
    assert train_wordpiece(counts, 12, progress=False) == [*SPECIAL_TOKENS, *alphabet, "##ea", "sea"]
    assert train_wordpiece(counts, 20, min_count=4, progress=False)[10:] == ["##ea", "sea", "seal"]


def train_by_recounting(counts, vocab_size):
    words = [([w[0]] + ["##" + c for c in w[1:]], n) for w, n in sorted(counts.items())]
    vocab = [*SPECIAL_TOKENS, *sorted({piece for pieces, _ in words for piece in pieces})]
    while len(vocab) < vocab_size:
        pairs = collections.Counter()
        for pieces, n in words:
            for pair in itertools.pairwise(pieces):
                pairs[pair] += n
        best = min(pairs, key=lambda pair: (-pairs[pair], pair), default=None)
        if best is None or pairs[best] < 2:
            break
        joined = best[0] + best[1][2:]
        for pieces, _ in words:
            i = 0
            while i + 1 < len(pieces):
                if (pieces[i], pieces[i + 1]) == best:
                    pieces[i : i + 2] = [joined]
                i += 1
        if joined not in vocab:
            vocab.append(joined)
    return vocab


@given(
    st.dictionaries(st.text("abc", min_size=1, max_size=12), st.integers(1, 9), min_size=1, max_size=15),
    st.integers(22, 80),
)
def test_agrees_with_recounting(counts, vocab_size):
    assert train_wordpiece(counts, vocab_size, progress=False) == train_by_recounting(counts, vocab_size)


def test_alphabet_takes_at_most_half_of_the_vocabulary():
    counts = {chr(0x3B1 + i): 100 - i for i in range(20)} | {"aa": 500}
    vocab = train_wordpiece(counts, 16, progress=False)
    assert len(vocab) == 5 + 8 + 1 and vocab[-1] == "aa"
    assert "α" in vocab and chr(0x3B1 + 19) not in vocab
    assert WordPieceTokenizer(vocab).tokenize("αα " + chr(0x3B1 + 19)) == ["[UNK]", "[UNK]"]


def test_count_words():
    documents = [Document("a", "s", ["Café, cafe!", "the Cafe"]), Document("b", "s", ["the 漢字"])]
    assert count_words(documents) == {"cafe": 3, ",": 1, "!": 1, "the": 2, "漢": 1, "字": 1}


@pytest.mark.parametrize("counts, size, message", [({"a": 1}, 9, "vocab_size: found 9"), ({}, 100, "found no words")])
def test_errors(counts, size, message):
    with pytest.raises(ValueError, match=message):
        train_wordpiece(counts, size, progress=False)
