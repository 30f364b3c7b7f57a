"""Sentence pairs, masks and batches."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minimobilebert.text.batches import PretrainingBatches, assemble_pairs, evaluation_batches
from minimobilebert.text.corpus import Document
from minimobilebert.text.masking import mask_tokens
from minimobilebert.text.pretraining_examples import (
    TokenizedDocuments,
    make_pretraining_examples,
    tokenize_documents,
    truncate_pair,
)
from minimobilebert.text.wordpiece import SPECIAL_TOKENS, WordPieceTokenizer

TOKENIZER = WordPieceTokenizer([*SPECIAL_TOKENS, *(f"w{i}" for i in range(995))])


def corpus_of(sentence_lengths):
    """Documents given as lists of sentence lengths. Piece n of the corpus has the id 5 + n % 995."""
    lengths = [length for document in sentence_lengths for length in document]
    return TokenizedDocuments(
        (5 + np.arange(sum(lengths)) % 995).astype(np.int32),
        np.cumsum([0, *lengths]),
        np.cumsum([0, *(len(document) for document in sentence_lengths)]),
    )


def random_corpus(rng, documents, sentences, longest):
    return corpus_of([rng.integers(1, longest + 1, rng.integers(1, sentences + 1)).tolist() for _ in range(documents)])


def document_of(corpus, spans):
    """The document in which each span starts, and the one in which it ends."""
    starts = corpus.sentence_offsets[corpus.document_offsets]
    return np.searchsorted(starts, spans[:, 0], "right") - 1, np.searchsorted(starts, spans[:, 1] - 1, "right") - 1


# ---------------------------------------------------------------------------------------------- sentence pairs


def test_tokenize_documents():
    tokenizer = WordPieceTokenizer([*SPECIAL_TOKENS, "a", "b", "."])
    documents = [
        Document("1", "s", ["A a. B.", "\u0301 \u200b", "A"]),  # the second paragraph has no piece
        Document("2", "s", ["\u200b"]),
        Document("3", "s", ["B b"]),
    ]
    tokenized = tokenize_documents(documents, tokenizer, progress=False)
    assert tokenized.pieces.tolist() == [5, 5, 7, 6, 7, 5, 6, 6] and tokenized.pieces.dtype == np.int32
    assert tokenized.sentence_offsets.tolist() == [0, 3, 5, 6, 8]
    assert tokenized.document_offsets.tolist() == [0, 3, 4]
    with pytest.raises(ValueError, match=r"found no words in 1 document\(s\)"):
        tokenize_documents(documents[1:2], tokenizer, progress=False)


def test_pairs_when_nothing_needs_cutting():
    """With sentences of one piece every chunk has exactly the target length, so the whole bookkeeping is visible."""
    corpus = corpus_of([[1] * n for n in (200, 1, 95, 1000)])
    examples = make_pretraining_examples(corpus, 23, np.random.default_rng(1), short_probability=0.0)
    a, b, labels = examples.a_spans, examples.b_spans, examples.next_sentence_labels
    document, _ = document_of(corpus, a)
    ends = corpus.document_offsets[1:]
    next_start = 0
    for i in range(len(labels)):
        assert a[i, 0] == next_start, "A begins where the text used so far ends"
        if labels[i] == 0:
            assert b[i, 0] == a[i, 1], "B follows A"
        # the unused rest of the chunk is put back behind a random B
        next_start = b[i, 1] if labels[i] == 0 else a[i, 1]
        if labels[i] == 0 and next_start < ends[document[i]]:
            assert b[i, 1] - a[i, 0] == 20
    assert next_start == 1296, "all text is used"
    assert labels[document == 1].tolist() == [1], "a document of one sentence cannot have a next one"


def test_pair_statistics():
    rng = np.random.default_rng(2)
    corpus = corpus_of([rng.integers(1, 5, 2000).tolist() for _ in range(20)])
    examples = make_pretraining_examples(corpus, 43, rng, short_probability=0.0)
    a, b, labels = examples.a_spans, examples.b_spans, examples.next_sentence_labels
    lengths = (a[:, 1] - a[:, 0]) + (b[:, 1] - b[:, 0])
    assert (a[:, 0] < a[:, 1]).all() and (b[:, 0] < b[:, 1]).all() and lengths.max() == 40

    a_document, a_last = document_of(corpus, a)
    b_document, b_last = document_of(corpus, b)
    assert (a_document == a_last).all() and (b_document == b_last).all(), "no span crosses documents"
    assert (a_document[labels == 0] == b_document[labels == 0]).all()
    assert (a_document[labels == 1] != b_document[labels == 1]).all(), "a random B is from another document"

    # B follows A. Only truncation can open a gap: a chunk has at most 3 pieces more than the 40 that fit.
    gap = (b[:, 0] - a[:, 1])[labels == 0]
    assert gap.min() == 0 and gap.max() <= 3 and (gap == 0).mean() > 0.5
    assert (lengths[labels == 0][gap > 0] == 40).all()

    # A fair coin, five standard deviations. (Chunks of one sentence, always random, only end a document.)
    assert abs(labels.mean() - 0.5) < 5 * 0.5 / np.sqrt(len(labels)) + 20 / len(labels)
    # Every other document is drawn about equally often: 19 possible ones.
    counts = np.bincount(b_document[labels == 1], minlength=20)
    expected = labels.sum() / 20
    assert abs(counts - expected).max() < 5 * np.sqrt(expected)


def test_short_sequences():
    """A tenth of the documents has a random shorter target, from 2 pieces to the full length, for all its pairs."""
    corpus = corpus_of([[1] * 300] * 1000)
    examples = make_pretraining_examples(corpus, 23, np.random.default_rng(3), short_probability=0.1)
    document, _ = document_of(corpus, examples.a_spans)
    lengths = (np.diff(examples.a_spans) + np.diff(examples.b_spans))[:, 0]
    longest = np.array([lengths[document == d].max() for d in range(1000)])
    short = longest < 20
    assert abs(short.sum() - 1000 * 0.1 * 18 / 19) < 5 * np.sqrt(1000 * 0.1 * 0.9)
    assert set(longest) == set(range(2, 21))
    assert make_pretraining_examples(corpus, 23, np.random.default_rng(3), 1.0).a_spans.shape[0] > len(lengths)


def test_where_chunks_are_cut_and_where_a_random_b_begins():
    """With sentences of one piece and 20 that fit: A has 1 to 19 of them, a random B begins anywhere."""
    corpus = corpus_of([[1] * 5000] * 3)
    examples = make_pretraining_examples(corpus, 23, np.random.default_rng(8), short_probability=0.0)
    a_length = np.diff(examples.a_spans)[:, 0]
    expected = len(a_length) / 19
    counts = np.bincount(a_length, minlength=20)[1:]
    assert len(counts) == 19 and abs(counts - expected).max() < 5 * np.sqrt(expected)
    starts = examples.b_spans[examples.next_sentence_labels == 1, 0] % 5000
    tenths = np.bincount(starts // 500, minlength=10)
    assert abs(tenths - len(starts) / 10).max() < 5 * np.sqrt(len(starts) / 10)


def test_the_coin_has_no_memory():
    """Half and half could also be by turns. With a fair coin two neighbours agree half of the time, as do any two."""
    corpus = corpus_of([[1] * 5000] * 3)
    labels = make_pretraining_examples(corpus, 23, np.random.default_rng(10), 0.0).next_sentence_labels
    for distance in (1, 2, 3):
        agree = (labels[distance:] == labels[:-distance]).mean()
        assert abs(agree - 0.5) < 5 * 0.5 / np.sqrt(len(labels) - distance)


def truncate_oracle(a, b, limit, rng):
    """BERT's truncate_seq_pair: one piece at a time."""
    a, b = list(range(*a)), list(range(*b))
    while len(a) + len(b) > limit:
        longer = a if len(a) > len(b) else b
        if rng.random() < 0.5:
            del longer[0]
        else:
            longer.pop()
    return (a[0], a[-1] + 1), (b[0], b[-1] + 1)


@given(st.integers(1, 40), st.integers(1, 40), st.integers(2, 40), st.integers(0, 99))
def test_truncation_keeps_the_lengths_of_the_loop(a_length, b_length, limit, seed):
    a, b = (100, 100 + a_length), (300, 300 + b_length)
    got = truncate_pair(a, b, limit, np.random.default_rng(seed))
    wanted = truncate_oracle(a, b, limit, np.random.default_rng(seed))
    for (start, stop), (oracle_start, oracle_stop), whole in zip(got, wanted, (a, b), strict=True):
        assert stop - start == oracle_stop - oracle_start
        assert whole[0] <= start < stop <= whole[1]


def test_truncation_at_both_ends():
    """30 of 40 pieces go: the mean number dropped at the front is 15, its variance 30 / 4."""
    fronts = [truncate_pair((0, 40), (50, 60), 20, np.random.default_rng(i))[0][0] for i in range(2000)]
    assert abs(np.mean(fronts) - 15) < 5 * np.sqrt(30 / 4 / 2000)
    assert abs(np.var(fronts) / (30 / 4) - 1) < 5 * np.sqrt(2 / 2000)


@given(st.integers(1, 6), st.integers(1, 8), st.integers(1, 30), st.integers(5, 40), st.integers(0, 999))
def test_every_pair_fits_and_the_seed_decides(documents, sentences, longest, sequence_length, seed):
    corpus = random_corpus(np.random.default_rng(seed), documents, sentences, longest)
    examples = make_pretraining_examples(corpus, sequence_length, np.random.default_rng(seed))
    again = make_pretraining_examples(corpus, sequence_length, np.random.default_rng(seed))
    assert all(np.array_equal(x, y) for x, y in zip(examples, again, strict=True))
    a_length, b_length = np.diff(examples.a_spans)[:, 0], np.diff(examples.b_spans)[:, 0]
    assert len(a_length) >= documents and a_length.min() >= 1 and b_length.min() >= 1
    assert (a_length + b_length).max() <= sequence_length - 3
    assert examples.a_spans.max() <= len(corpus.pieces) and examples.b_spans.max() <= len(corpus.pieces)


def test_too_short_a_sequence():
    with pytest.raises(ValueError, match="sequence_length: found 4, expected at least 5"):
        make_pretraining_examples(corpus_of([[3, 3]]), 4, np.random.default_rng(0))


# ------------------------------------------------------------------------------------------------------- masks


def random_batch(rng, rows=64, width=64):
    """[CLS] words [SEP] words [SEP] [PAD] ... of random length."""
    ids = np.full((rows, width), TOKENIZER.pad_id, np.int32)
    lengths = rng.integers(5, width + 1, rows)
    for row, n in enumerate(lengths):
        ids[row, :n] = rng.integers(5, 1000, n)
        ids[row, [0, n // 2, n - 1]] = TOKENIZER.cls_id, TOKENIZER.sep_id, TOKENIZER.sep_id
    return ids, np.arange(width) < lengths[:, None], lengths


@pytest.mark.parametrize("limit", [1, 4, 20])
def test_number_and_place_of_masks(limit):
    rng = np.random.default_rng(4)
    ids, real, lengths = random_batch(rng)
    before = ids.copy()
    masked, positions, labels = mask_tokens(ids, real, TOKENIZER, limit, rng)
    assert np.array_equal(ids, before), "the input is left alone"
    assert positions.dtype == np.int64 and labels.dtype == np.int32 and masked.dtype == np.int32
    assert (np.diff(positions) > 0).all()
    per_row = np.bincount(positions // 64, minlength=64)
    assert per_row.tolist() == [min(limit, max(1, round(int(n) * 0.15))) for n in lengths]
    assert np.array_equal(labels, ids.reshape(-1)[positions])
    assert labels.min() >= 5, "never [CLS], [SEP] or [PAD]"
    untouched = np.ones(ids.size, bool)
    untouched[positions] = False
    assert np.array_equal(masked.reshape(-1)[untouched], ids.reshape(-1)[untouched])


def test_at_least_one_mask_if_there_is_a_word():
    """15 % of 3 tokens would be none; a row without words has nothing to mask."""
    cls, sep = TOKENIZER.cls_id, TOKENIZER.sep_id
    ids = np.array([[cls, 9, sep], [cls, sep, sep]], np.int32)
    _, positions, labels = mask_tokens(ids, np.ones((2, 3), bool), TOKENIZER, 20, np.random.default_rng(0))
    assert positions.tolist() == [1] and labels.tolist() == [9]


def test_mask_statistics():
    """80 % [MASK], 10 % random, 10 % unchanged; every place equally often; all within five standard deviations."""
    rng = np.random.default_rng(5)
    ids = rng.integers(5, 1000, (64, 64)).astype(np.int32)
    ids[:, 0], ids[:, 30], ids[:, 63] = TOKENIZER.cls_id, TOKENIZER.sep_id, TOKENIZER.sep_id
    real = np.ones(ids.shape, bool)
    places, replaced, originals = [], [], []
    for _ in range(100):
        masked, positions, labels = mask_tokens(ids, real, TOKENIZER, 20, rng)
        places.append(positions % 64)
        replaced.append(masked.reshape(-1)[positions])
        originals.append(labels)
    places, replaced, originals = map(np.concatenate, (places, replaced, originals))
    n = len(places)
    assert n == 100 * 64 * 10  # 15 % of 64 tokens is 9.6

    def close(found, expected):
        return abs(found - expected) < 5 * np.sqrt(expected * (1 - expected) / n)

    # A random piece is [MASK], or the word itself, once in 1000 each.
    assert close((replaced == TOKENIZER.mask_id).mean(), 0.8 + 0.1 / 1000)
    assert close((replaced == originals).mean(), 0.1 + 0.1 / 1000)
    drawn = replaced[(replaced != TOKENIZER.mask_id) & (replaced != originals)]
    assert close(len(drawn) / n, 0.1 * 998 / 1000)
    # ... from the whole vocabulary, special tokens too: each id has a mean of 6.4 draws.
    counts = np.bincount(drawn, minlength=1000)
    assert len(counts) == 1000 and (counts[[0, 1, 2, 3]] > 0).all() and counts.max() < 6.4 + 7 * np.sqrt(6.4)
    at = np.bincount(places, minlength=64)[[t for t in range(64) if t not in (0, 30, 63)]]
    assert abs(at - n / 61).max() < 5 * np.sqrt(n / 61)


def test_the_fate_of_a_chosen_word_is_drawn_for_each_alone():
    """80 : 10 : 10 could also come about by rule, such as the first eight of ten. Then fate would depend on place, or
    every batch would have the same share of [MASK].

    Place and fate are independent if X^2 = sum (found - expected)^2 / expected over the 61 x 3 table is chi-square
    with 60 * 2 degrees of freedom: mean 120, variance 240. The number of [MASK] in a batch of 640 chosen words is
    binomial, with variance 640 * 0.8 * 0.2; its estimate from 200 batches has a relative variance of 2 / 199.
    All within five standard deviations.
    """
    rng = np.random.default_rng(9)
    ids = rng.integers(5, 1000, (64, 64)).astype(np.int32)
    ids[:, 0], ids[:, 30], ids[:, 63] = TOKENIZER.cls_id, TOKENIZER.sep_id, TOKENIZER.sep_id
    table, masks = np.zeros((64, 3)), []
    for _ in range(200):
        masked, positions, labels = mask_tokens(ids, np.ones(ids.shape, bool), TOKENIZER, 20, rng)
        found = masked.reshape(-1)[positions]
        fate = np.where(found == TOKENIZER.mask_id, 0, np.where(found == labels, 1, 2))
        np.add.at(table, (positions % 64, fate), 1)
        masks.append((fate == 0).sum())
    table = table[table.any(axis=1)]
    expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0) / table.sum()
    assert table.shape == (61, 3)
    assert abs(((table - expected) ** 2 / expected).sum() - 120) < 5 * np.sqrt(240)
    assert abs(np.var(masks, ddof=1) / (640 * 0.8 * 0.2) - 1) < 5 * np.sqrt(2 / 199)


# ----------------------------------------------------------------------------------------------------- batches


def test_assemble_pairs():
    rng = np.random.default_rng(6)
    pieces = rng.integers(5, 1000, 500).astype(np.int32)
    a = np.array([[0, 1], [100, 120], [490, 500], [3, 9]])
    b = np.array([[499, 500], [20, 49], [0, 7], [50, 51]])
    ids, types, real = assemble_pairs(pieces, a, b, TOKENIZER, 52)
    assert (ids.dtype, types.dtype, real.dtype) == (np.int32, np.int32, bool)
    for i in range(4):
        first = [TOKENIZER.cls_id, *pieces[a[i, 0] : a[i, 1]], TOKENIZER.sep_id]
        second = [*pieces[b[i, 0] : b[i, 1]], TOKENIZER.sep_id]
        padding = 52 - len(first) - len(second)
        assert ids[i].tolist() == first + second + [TOKENIZER.pad_id] * padding
        assert types[i].tolist() == [0] * len(first) + [1] * len(second) + [0] * padding
        assert real[i].tolist() == [True] * (52 - padding) + [False] * padding


def unmasked(batch):
    """input_ids with the masked words put back."""
    ids = batch.input_ids.copy()
    ids.reshape(-1)[batch.masked_positions] = batch.masked_labels
    return ids


def same(x, y):
    return all(np.array_equal(a, b) and a.dtype == b.dtype for a, b in zip(x, y, strict=True))


@pytest.fixture(scope="module")
def examples():
    corpus = corpus_of([[8, 5, 1, 9, 7, 3] * 10] * 3)
    return make_pretraining_examples(corpus, 24, np.random.default_rng(7))


def batches_of(examples, seed=1, batch_size=7, length=24):
    return PretrainingBatches(examples, TOKENIZER, batch_size, length, 4, seed)


def test_a_batch_is_a_function_of_seed_and_step(examples):
    batches = batches_of(examples)
    row = [batches(step) for step in range(30)]
    assert all(same(row[step], batches_of(examples)(step)) for step in (29, 0, 13)), "any order, any object"
    assert same(row[5], batches(5))
    assert not any(same(row[0], other) for other in row[1:])
    assert not same(row[0], batches_of(examples, seed=2)(0))


def test_masks_are_drawn_anew_at_every_step(examples):
    one = examples._replace(
        a_spans=examples.a_spans[:1], b_spans=examples.b_spans[:1], next_sentence_labels=np.int32([0])
    )
    batches = batches_of(one, batch_size=1)
    assert len({tuple(batches(step).masked_positions) for step in range(20)}) > 10


def test_every_epoch_has_every_example_once_with_new_masks(examples):
    n = len(examples.next_sentence_labels)
    whole, *_ = assemble_pairs(examples.pieces, examples.a_spans, examples.b_spans, TOKENIZER, 24)
    expected = sorted(
        (*row, label) for row, label in zip(whole.tolist(), examples.next_sentence_labels.tolist(), strict=True)
    )
    batches = batches_of(examples)
    row, masks = [], []
    for step in range(-(-3 * n // 7)):
        batch = batches(step)
        row += [
            (*ids, label)
            for ids, label in zip(unmasked(batch).tolist(), batch.next_sentence_labels.tolist(), strict=True)
        ]
        masks += (batch.input_ids == TOKENIZER.mask_id).tolist()
    epochs = [row[n * i : n * (i + 1)] for i in range(3)]
    assert all(sorted(epoch) == expected for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2], "shuffled anew"
    place = {example: i for i, example in reversed(list(enumerate(epochs[0])))}
    assert sum(masks[place[example]] != masks[n + i] for i, example in enumerate(epochs[1])) > 0.8 * n


def test_batch_fields(examples):
    batch = batches_of(examples, length=30)(3)
    assert [x.dtype for x in batch] == [np.int32, np.int32, bool, np.int64, np.int32, np.int32]
    assert batch.input_ids.shape == batch.token_type_ids.shape == batch.attention_mask.shape == (7, 30)
    assert all(x.flags.c_contiguous for x in batch)
    assert (unmasked(batch)[~batch.attention_mask] == TOKENIZER.pad_id).all()
    assert not batch.attention_mask[:, 24:].any() and not batch.token_type_ids[~batch.attention_mask].any()
    assert batch.attention_mask.reshape(-1)[batch.masked_positions].all()


def test_a_batch_larger_than_the_text(examples):
    few = examples._replace(
        a_spans=examples.a_spans[:3], b_spans=examples.b_spans[:3], next_sentence_labels=np.int32([0, 1, 1])
    )
    batch = batches_of(few)(0)
    assert np.bincount(batch.next_sentence_labels, minlength=2).tolist() in ([2, 5], [3, 4])  # 7 = 2 * 3 + 1


def test_evaluation_batches(examples):
    n = len(examples.next_sentence_labels)
    batches = evaluation_batches(examples, TOKENIZER, 10, 24, 4, 1)
    assert [len(b.input_ids) for b in batches] == [10] * (n // 10) + ([n % 10] if n % 10 else [])
    whole, *_ = assemble_pairs(examples.pieces, examples.a_spans, examples.b_spans, TOKENIZER, 24)
    assert sorted(np.concatenate([unmasked(b) for b in batches]).tolist()) == sorted(whole.tolist())
    few = evaluation_batches(examples, TOKENIZER, 10, 24, 4, 1, count=2)
    assert len(few) == 2 and all(same(x, y) for x, y in zip(few, batches[:2], strict=True)), (
        "the same questions every time"
    )


def test_errors(examples):
    with pytest.raises(ValueError, match="sequence_length: found 23, expected at least 24"):
        batches_of(examples, length=23)
    with pytest.raises(ValueError, match="sequence_length: found 16, expected at least 24"):
        evaluation_batches(examples, TOKENIZER, 10, 16, 4, 1)
    with pytest.raises(ValueError, match="batch_size: found 0"):
        batches_of(examples, batch_size=0)
    none = examples._replace(a_spans=examples.a_spans[:0], next_sentence_labels=np.zeros(0, np.int32))
    with pytest.raises(ValueError, match="found no sentence pair"):
        batches_of(none)
