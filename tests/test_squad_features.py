"""Windows, labels and batches; every result held against slow loops that follow the definition."""

import os
import pathlib

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from squad_examples import CHARACTERS, TOKENIZER, dataset

from minimobilebert.tasks.squad_batches import SquadExamples
from minimobilebert.tasks.squad_data import read_ids, read_squad
from minimobilebert.tasks.squad_features import answer_pieces, make_features
from minimobilebert.tasks.squad_windows import max_context, windows_of
from minimobilebert.text.encoding import encode_pair
from minimobilebert.text.length_batches import TrainingBatches, sorted_batches
from minimobilebert.text.wordpiece import WordPieceTokenizer

DATA = os.environ.get("MINIMOBILEBERT_DATA")
needs_data = pytest.mark.skipif(DATA is None, reason="MINIMOBILEBERT_DATA is not set")
TEXT = st.text(alphabet=CHARACTERS + "  \n\u0301\u200bÉÜ\u3000", max_size=60)


@pytest.mark.parametrize(
    ("pieces", "room", "stride", "windows"),
    [
        (10, 10, 4, [(0, 10)]),
        (11, 10, 4, [(0, 10), (4, 7)]),
        (14, 10, 4, [(0, 10), (4, 10)]),
        (15, 10, 4, [(0, 10), (4, 10), (8, 7)]),
        (7, 3, 5, [(0, 3), (3, 3), (6, 1)]),  # a stride wider than the window: nothing is left out
        (0, 10, 4, [(0, 0)]),
    ],
)
def test_windows(pieces, room, stride, windows):
    assert windows_of(pieces, room, stride) == windows


@given(st.integers(0, 80), st.integers(1, 40), st.integers(1, 20))
@example(pieces=330, room=300, stride=150)  # the last window is much shorter: its length counts
@example(pieces=230, room=202, stride=101)
def test_every_piece_has_most_context_in_one_window(pieces, room, stride):
    windows = windows_of(pieces, room, stride)
    flags = max_context(pieces, windows)
    for piece in range(pieces):
        best, best_window = -1.0, None
        for number, (first, length) in enumerate(windows):
            if first <= piece < first + length:
                score = min(piece - first, first + length - 1 - piece) + 0.01 * length
                if score > best:
                    best, best_window = score, number
        for number, (first, length) in enumerate(windows):
            if first <= piece < first + length:
                assert flags[number][piece - first] == (number == best_window)


CONTEXT = "The ships (18 of 20), Japanese, sail."


@pytest.mark.parametrize(
    ("text", "pieces", "wider"),
    [
        ("The ships", ["the", "ship", "##s"], 0),
        ("18", ["18"], 0),
        ("8", ["18"], 1),
        ("Japan", ["japan"], 0),
        ("apanes", ["japan", "##ese"], 1),
        ("Japanes", ["japan", "##ese"], 1),
        (" (18 ", ["(", "18"], 1),  # the blanks belong to no piece
        ("ship", ["ship"], 0),
    ],
)
def test_an_answer_is_labelled_by_the_fewest_pieces(text, pieces, wider):
    features = make_features(dataset([CONTEXT], [(0, "who?", (text, CONTEXT.index(text)))]), TOKENIZER)
    batch = SquadExamples(features).batch(np.array([0]))
    label = batch.input_ids[0, batch.starts[0] : batch.ends[0] + 1]
    assert [TOKENIZER.vocab[i] for i in label] == pieces
    assert features.counts.answers_wider == wider and features.counts.answers_lost == 0


@given(TEXT, st.integers(0, 60), st.integers(1, 60))
def test_answer_pieces(context, start, length):
    _, offsets = TOKENIZER.encode_with_offsets(context)
    stop = min(start + length, len(context))
    touched = [n for n, (a, b) in enumerate(offsets) if a < stop and b > start]
    first, last = answer_pieces(np.array(offsets, np.int32).reshape(-1, 2), start, stop)
    assert list(range(first, last + 1)) == touched


@given(
    st.lists(TEXT, min_size=1, max_size=3),
    st.lists(TEXT, min_size=1, max_size=4),
    st.integers(12, 40),
    st.integers(1, 9),
    st.data(),
)
def test_rows_and_labels(contexts, questions, max_length, stride, data):
    """Every row, type, mask and label, against one window at a time cut out by hand."""
    asked = []
    for text in questions:
        c = data.draw(st.integers(0, len(contexts) - 1))
        start = data.draw(st.integers(0, max(0, len(contexts[c]) - 1)))
        stop = data.draw(st.integers(start + 1, max(start + 1, len(contexts[c]))))
        answer = contexts[c][start:stop]
        asked.append((c, text, (answer, start) if answer.strip() else None))
    features = make_features(dataset(contexts, asked, version="2.0"), TOKENIZER, max_length, stride, max_query=8)
    w = lost = 0
    for n, (c, text, answer) in enumerate(asked):
        query = TOKENIZER.encode(text)[:8]
        ids, offsets = TOKENIZER.encode_with_offsets(contexts[c])
        windows = windows_of(len(ids), max_length - len(query) - 3, stride)
        found = []
        for first, length in windows:
            row = [TOKENIZER.cls_id, *query, TOKENIZER.sep_id, *ids[first : first + length], TOKENIZER.sep_id]
            batch = SquadExamples(features).batch(np.array([w]))
            assert batch.input_ids[0].tolist() == row and batch.attention_mask.all()
            assert batch.token_type_ids[0].tolist() == [0] * (len(query) + 2) + [1] * (length + 1)
            assert features.window_questions[w] == n and features.lengths[w] == len(row) <= max_length
            assert features.first_positions[w] == len(query) + 2 and len(features.max_context[w]) == length
            assert [tuple(o) for o in features.offsets[slice(*features.window_spans[w])]] == offsets[
                first : first + length
            ]
            label = (0, 0)
            if answer is not None:
                covered = [k for k, (a, b) in enumerate(offsets) if a < answer[1] + len(answer[0]) and b > answer[1]]
                if covered and all(first <= k < first + length for k in covered):
                    label = (covered[0] - first + len(query) + 2, covered[-1] - first + len(query) + 2)
            assert (features.starts[w], features.ends[w]) == label
            found.append(label)
            w += 1
        assert features.first_windows[n + 1] == w
        lost += answer is not None and all(label == (0, 0) for label in found)
    assert features.counts.windows == w == len(features.window_spans)
    assert features.counts.answers_lost == lost
    assert features.counts.questions_cut == sum(len(TOKENIZER.encode(text)) > 8 for text in questions)


def test_a_short_row_is_what_encode_pair_makes():
    features = make_features(dataset([CONTEXT], [(0, "Who sails?", ("ship", 4))]), TOKENIZER)
    pair = encode_pair(TOKENIZER, "Who sails?", CONTEXT)
    batch = SquadExamples(features).batch(np.array([0]))
    assert batch.input_ids[0].tolist() == pair.ids and batch.token_type_ids[0].tolist() == pair.token_type_ids


def test_questions_that_are_too_long_are_cut_and_counted():
    features = make_features(dataset(["a"], [(0, "b " * 65, ("a", 0)), (0, "b " * 64, ("a", 0))]), TOKENIZER)
    assert features.counts.questions_cut == 1 and features.lengths.tolist() == [68, 68]


def test_an_answer_longer_than_a_window_is_counted():
    features = make_features(dataset(["a b c d e f"], [(0, "g", ("a b c d e f", 0))]), TOKENIZER, 8, 2, 4)
    assert features.counts.answers_lost == 1 and not features.starts.any() and not features.ends.any()


def test_an_answer_is_labelled_where_all_of_it_is():
    """Pieces 3 and 4 of eight, in windows of pieces 0 to 3, 2 to 5 and 4 to 7."""
    features = make_features(dataset(["a b c d e f g h"], [(0, "who?", ("d e", 6))]), TOKENIZER, 11, 2, 4)
    assert (features.starts.tolist(), features.ends.tolist()) == ([0, 7, 0], [0, 8, 0])
    assert features.counts.answers_lost == 0


def test_a_dataset_for_scoring_has_no_labels():
    features = make_features(dataset([CONTEXT], [(0, "who?", ("ship", None))], training=False), TOKENIZER)
    assert features.starts is None and SquadExamples(features).batch(np.array([0])).ends is None


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ({"max_query": 0}, "max_query: found 0, expected a whole number of at least 1"),
        ({"stride": 0}, "stride: found 0"),
        ({"max_length": 67}, "max_length: found 67, expected a whole number of at least 68"),
        ({"stride": 12.5}, "stride: found 12.5"),
    ],
)
def test_numbers_that_cannot_be_used(numbers, words):
    with pytest.raises(ValueError, match=words):
        make_features(dataset([CONTEXT], [(0, "who?", ("ship", 4))]), TOKENIZER, **numbers)


def many(count):
    contexts = ["a " * (1 + n * 7 % 50) for n in range(count)]
    return make_features(dataset(contexts, [(n, "b", ("a", 0)) for n in range(count)]), TOKENIZER)


def test_all_batches_have_every_window_once_and_little_padding():
    features = many(23)
    examples = SquadExamples(features)
    batches = [examples.batch(rows) for rows in sorted_batches(examples.lengths, 4)]
    assert sorted(np.concatenate([b.windows for b in batches])) == list(range(23))
    lengths = [b.input_ids.shape[1] for b in batches]
    assert lengths == sorted(lengths, reverse=True) and len(batches[-1].windows) == 3
    for batch in batches:
        assert batch.attention_mask.sum(axis=1).tolist() == features.lengths[batch.windows].tolist()
        assert (batch.input_ids[~batch.attention_mask] == TOKENIZER.pad_id).all()
        assert batch.starts.tolist() == features.starts[batch.windows].tolist()
        assert batch.ends.tolist() == features.ends[batch.windows].tolist()


def test_training_batches_have_every_window_once_an_epoch():
    batches = TrainingBatches(SquadExamples(many(23)), 4, 7)
    for epoch in range(2):
        windows = [batches(step).windows for step in range(6 * epoch, 6 * epoch + 6)]
        assert sorted(np.concatenate(windows)) == list(range(23))


@needs_data
def test_all_of_dev_is_cut_into_the_published_number_of_windows():
    """10,833 is what BERT's own program reports for the 10,570 questions at 384, 128, 64."""
    tokenizer = WordPieceTokenizer.load(pathlib.Path(DATA) / "bert-uncased-vocab.txt")
    counts = make_features(read_squad(pathlib.Path(DATA) / "squad" / "dev-v1.1.json"), tokenizer).counts
    assert (counts.questions, counts.windows, counts.questions_cut) == (10_570, 10_833, 0)


@needs_data
@pytest.mark.parametrize(
    ("name", "wider"), [("dev-v1.1", 22), ("dev-v2.0", 5), ("xquad.en", 1)]
)  # answers that begin or end inside a piece: "Japan" of "Japanese", "8" of "18"
def test_labels_lead_back_to_the_exact_answers(name, wider):
    tokenizer = WordPieceTokenizer.load(pathlib.Path(DATA) / "bert-uncased-vocab.txt")
    file = pathlib.Path(DATA) / "squad" / f"{name}.json"
    unsure = file.with_suffix(".unsure-offsets.json")
    found = read_squad(file, training=True, leave_out=read_ids(unsure) if unsure.exists() else ())
    features = make_features(found, tokenizer)
    labelled, different = set(), set()
    for w in np.flatnonzero(features.starts):
        question = found.questions[features.window_questions[w]]
        piece = features.window_spans[w, 0] - features.first_positions[w]
        start, stop = features.offsets[piece + features.starts[w], 0], features.offsets[piece + features.ends[w], 1]
        text, answer = found.contexts[question.context_number][start:stop], question.answers[0]
        labelled.add(question.id)
        assert start <= answer.start and stop >= answer.start + len(answer.text)
        if text != answer.text:
            different.add(question.id)
    assert labelled == {q.id for q in found.questions if q.answers}
    assert len(different) == features.counts.answers_wider == wider and features.counts.answers_lost == 0
