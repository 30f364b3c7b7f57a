"""Random words: what is replaced, by what, how often, and that a batch depends on seed and step alone."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from minimobilebert.distilling.texts import RandomWordBatches
from minimobilebert.text.random_words import ordinary_pieces, replace_words
from minimobilebert.text.shard_batches import InputBatch
from minimobilebert.text.wordpiece import SPECIAL_TOKENS, WordPieceTokenizer

WORDS = [f"w{n}" for n in range(20)] + [f"##p{n}" for n in range(5)]
VOCAB = ["[PAD]", "[unused1]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[unused2]", *WORDS]
TOKENIZER = WordPieceTokenizer(VOCAB)
FIRST = VOCAB.index("w0")  # ordinary pieces have this id or a higher one


def texts(rng, rows, length):
    """[CLS] words [SEP] [PAD] ... -> ids, mask"""
    ids, mask = np.full((rows, length), TOKENIZER.pad_id, np.int32), np.zeros((rows, length), bool)
    for row in range(rows):
        real = rng.integers(2, length + 1)
        ids[row, :real] = rng.integers(FIRST, len(VOCAB), real)
        ids[row, 0], ids[row, real - 1] = TOKENIZER.cls_id, TOKENIZER.sep_id
        mask[row, :real] = True
    return ids, mask


@given(seed=st.integers(0, 2**32), rows=st.integers(0, 5), length=st.integers(2, 12), share=st.floats(0.0, 1.0))
def test_only_words_change_and_only_to_words(seed, rows, length, share):
    rng = np.random.default_rng(seed)
    ids, mask = texts(rng, rows, length)
    before = ids.copy()
    changed = replace_words(ids, mask, TOKENIZER, share, rng)
    assert np.array_equal(ids, before) and changed.dtype == np.int32
    word = ids >= FIRST
    assert np.array_equal(changed[~word], ids[~word]) and (changed[word] >= FIRST).all()
    if share == 0.0:
        assert np.array_equal(changed, ids)


def test_a_share_is_replaced_and_each_word_is_as_likely():
    ids = np.full((400, 250), FIRST, np.int32)
    changed = replace_words(ids, np.ones(ids.shape, bool), TOKENIZER, 0.3, np.random.default_rng(5))
    counts = np.bincount(changed.ravel(), minlength=len(VOCAB))
    assert counts[:FIRST].sum() == 0
    each = 0.3 * ids.size / len(WORDS)  # one in 25 of the new words is the old one
    # Five standard deviations of a binomial count: by chance, one run in a hundred thousand is outside.
    assert np.abs(counts[FIRST + 1 :] - each).max() < 5 * np.sqrt(each)
    assert abs((changed != ids).sum() - 24 * each) < 5 * np.sqrt(24 * each)


def test_a_vocabulary_without_words_and_a_text_without_them():
    tokenizer = WordPieceTokenizer(list(SPECIAL_TOKENS))
    assert not ordinary_pieces(tokenizer).any()
    ids = np.array([[tokenizer.cls_id, tokenizer.sep_id]], np.int32)
    assert np.array_equal(replace_words(ids, ids >= 0, tokenizer, 1.0, np.random.default_rng(1)), ids)


def test_a_batch_depends_on_seed_and_step():
    ids, mask = texts(np.random.default_rng(3), 6, 30)

    def batches(seed):
        return RandomWordBatches(lambda step: InputBatch(ids, np.zeros_like(ids), mask), TOKENIZER, 0.5, seed)

    one, other = batches(1), batches(2)
    assert np.array_equal(one(7).input_ids, batches(1)(7).input_ids)
    assert not np.array_equal(one(7).input_ids, one(8).input_ids)
    assert not np.array_equal(one(7).input_ids, other(7).input_ids)
    assert one(7).attention_mask is mask
