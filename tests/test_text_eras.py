"""The era task: labels, splits by address, batches."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minimobilebert.pipeline.run import Run
from minimobilebert.pipeline.settings import settings_from_strings
from minimobilebert.pipeline.stages import fine_tune
from minimobilebert.pipeline.text_data import TextData
from minimobilebert.tasks.classification_batches import encode_texts
from minimobilebert.tasks.eras import ERAS, EraTask, era_of, make_era_task, passages, split_addresses
from minimobilebert.text.corpus import Document, shipped_documents, split_documents
from minimobilebert.text.encoding import encode_pair, pad_batch
from minimobilebert.text.length_batches import TrainingBatches
from minimobilebert.text.wordpiece import SPECIAL_TOKENS, WordPieceTokenizer
from minimobilebert.text.wordpiece_trainer import count_words, train_wordpiece
from minimobilebert.training.model_folder import load_model


@pytest.mark.parametrize(
    "name, era",
    [
        ("1790_george_washington_n.txt", 0),
        ("1859_james_buchanan_d.txt", 0),
        ("1860_james_buchanan_d.txt", 1),
        ("1929_herbert_hoover_r.txt", 1),
        ("1930_herbert_hoover_r.txt", 2),
        ("2021_joseph_r_biden_d.txt", 2),
        ("chapter-001.txt", None),
        ("emma/chapter-01.txt", None),
    ],
)
def test_era_of(name, era):
    assert era_of(name) == era


@pytest.fixture(scope="module")
def documents():
    return shipped_documents()


@pytest.mark.parametrize("fraction, seed", [(0.05, 1), (0.1, 1), (0.1, 2), (0.3, 3)])
def test_split_of_the_shipped_addresses(documents, fraction, seed):
    _, held_out = split_documents(documents, fraction, seed)
    held_out_names = {d.name for d in held_out}
    split = split_addresses(documents, held_out_names, seed)
    names = [[d.name for d in part] for part in split]
    assert sorted(sum(names, [])) == sorted(d.name for d in documents if d.source == "state-of-the-union")
    assert not held_out_names & set(names[0]) and set(names[1]) | set(names[2]) <= held_out_names
    for part in names:
        assert {era_of(name) for name in part} == {0, 1, 2}
    assert split == split_addresses(documents, held_out_names, seed)


def test_split_depends_on_the_seed(documents):
    held_out_names = {d.name for d in split_documents(documents, 0.2, 1)[1]}
    assert split_addresses(documents, held_out_names, 1).test != split_addresses(documents, held_out_names, 2).test


def test_too_few_addresses():
    addresses = [Document(f"{year}_x_n.txt", "s", ["A."]) for year in (1800, 1801, 1802, 1900, 1901, 2000)]
    with pytest.raises(ValueError, match="era '1860-1929': found 1 addresses to train on and 1 held out"):
        split_addresses(addresses, ["1800_x_n.txt", "1801_x_n.txt", "1900_x_n.txt"], 1)


def test_passages():
    document = Document("1800_x_n.txt", "s", ["One two three four five. Too short. A b c d e f.", "Last one of it is."])
    assert passages(document) == ["One two three four five.", "A b c d e f.", "Last one of it is."]
    assert passages(document, 2) == ["One two three four five. Too short.", "A b c d e f. Last one of it is."]
    assert passages(document, 3) == ["One two three four five. Too short. A b c d e f.", "Last one of it is."]


TOY = WordPieceTokenizer([*SPECIAL_TOKENS, *"abcdefgh"])


def test_encoding_and_padding():
    texts = encode_texts(TOY, ["a b c", "", "a b c d e f g"], None, [2, 0, 1], 6)
    a, cls, sep, pad = TOY.id_of("a"), TOY.cls_id, TOY.sep_id, TOY.pad_id
    batch = texts.batch(np.array([2, 0, 1]))
    assert batch.input_ids.tolist() == [
        [cls, a, a + 1, a + 2, a + 3, sep],
        [cls, a, a + 1, a + 2, sep, pad],
        [cls, sep, pad, pad, pad, pad],
    ]
    assert batch.attention_mask.sum(axis=1).tolist() == [6, 5, 2] and batch.attention_mask.dtype == bool
    assert np.array_equal(batch.attention_mask, batch.input_ids != pad)
    assert not batch.token_type_ids.any() and batch.labels.tolist() == [1, 2, 0]
    assert batch.input_ids.dtype == batch.token_type_ids.dtype == batch.labels.dtype == np.int32
    assert texts.cut == 1 and texts.batch(np.array([1])).input_ids.tolist() == [[cls, sep]]
    with pytest.raises(ValueError, match="max_length: found 1, expected an integer of at least 2"):
        encode_texts(TOY, ["a"], None, [0], 1)


@settings(max_examples=10)
@given(st.data())
def test_a_batch_of_pairs_is_what_pad_batch_makes_of_them(data):
    words = st.text("abcdefgh ", max_size=20)
    count = data.draw(st.integers(1, 6))
    firsts, seconds = ([data.draw(words) for _ in range(count)] for _ in range(2))
    texts = encode_texts(TOY, firsts, seconds, [0.5] * count, 9)
    rows = np.array(data.draw(st.lists(st.integers(0, count - 1), min_size=1)))
    encodings = [encode_pair(TOY, firsts[i], seconds[i], max_length=9) for i in rows]
    batch = texts.batch(rows)
    assert all(map(np.array_equal, batch[:3], pad_batch(encodings, TOY.pad_id)))
    assert [x.dtype for x in batch[:3]] == [x.dtype for x in pad_batch(encodings, TOY.pad_id)]
    assert batch.labels.dtype == np.float32
    assert texts.cut == sum(
        any(encode_pair(TOY, *pair, max_length=9).cut) for pair in zip(firsts, seconds, strict=True)
    )


def of_lengths(lengths):
    """Texts of these lengths, whose label is their number."""
    return encode_texts(TOY, ["a " * (n - 2) for n in lengths], None, list(range(len(lengths))), None)


def test_batches_are_a_function_of_seed_and_step():
    texts = of_lengths(range(3, 13))
    batches = TrainingBatches(texts, 4, seed=1)
    assert batches.steps_per_epoch == 3
    row = [batches(step) for step in range(6)]
    again = TrainingBatches(texts, 4, seed=1)
    for step in (4, 0, 5, 2):
        assert all(np.array_equal(x, y) for x, y in zip(row[step], again(step), strict=True))
    labels = [batch.labels.tolist() for batch in row]
    assert sorted(sum(labels[:3], [])) == sorted(sum(labels[3:], [])) == list(range(10)), "every text once an epoch"
    assert sorted(map(len, labels[:3])) == [2, 4, 4]
    assert labels[:3] != labels[3:]
    assert [TrainingBatches(texts, 4, seed=2)(step).labels.tolist() for step in range(3)] != labels[:3]
    for batch in row:
        assert (batch.attention_mask.sum(axis=1) == batch.labels + 3).all()
    with pytest.raises(ValueError, match="batch_size: found 0"):
        TrainingBatches(texts, 0, seed=1)
    with pytest.raises(ValueError, match="no example to train on"):
        TrainingBatches(of_lengths([]), 1, seed=1)


def test_a_batch_holds_texts_of_about_one_length_and_epochs_mix_them():
    lengths = np.random.default_rng(1).integers(3, 60, 600)
    batches = TrainingBatches(of_lengths(lengths), 8, seed=1)
    padded = sum(batches(step).input_ids.size for step in range(batches.steps_per_epoch))
    assert (
        padded < 1.1 * lengths.sum() < 1.5 * lengths.sum() < 8 * sum(lengths[i : i + 8].max() for i in range(0, 600, 8))
    ), "a tenth of padding; in the order of the file it would be more than half"
    company = [{frozenset(batches.rows(e * 75 + step)) for step in range(75)} for e in range(2)]
    assert len(company[0] & company[1]) < 3
    order = [batches(step).input_ids.shape[1] for step in range(75)]
    assert order != sorted(order) and order != sorted(order, reverse=True)


def test_the_whole_task():
    """Addresses that say their era, so that labels can be checked against the text."""
    words = {0: "early", 1: "middle", 2: "late"}
    text = "It was {0} then {1}. So it is {0} now. No."
    documents = [
        Document(f"{year}_x_n.txt", "s", [text.format(words[era], year)] * (era + 1))
        for era, years in enumerate(((1800, 1850), (1870, 1920), (1940, 1990)))
        for year in range(*years, 5)
    ]
    training, held_out = split_documents(documents, 0.3, 1)
    tokenizer = WordPieceTokenizer(train_wordpiece(count_words(training), 200, progress=False))
    task = make_era_task(documents, [d.name for d in held_out], tokenizer, 8, 12, 1)
    assert task.num_labels == 3
    assert task.num_training == 2 * sum(era_of(d.name) + 1 for d in training), "'No.' is too short"
    counts = []
    for batch in [*task.development, *task.evaluation, *map(task.batches, range(20))]:
        for ids, label in zip(batch.input_ids, batch.labels, strict=True):
            assert words[int(label)] in tokenizer.decode(ids).split()
    for batches, size in ((task.development, task.num_development), (task.evaluation, task.num_test)):
        labels = np.concatenate([batch.labels for batch in batches])
        assert len(labels) == size and set(labels) == {0, 1, 2}
        counts.append(np.bincount(labels))
    assert counts[0].sum() + counts[1].sum() == 2 * sum(era_of(d.name) + 1 for d in held_out)
    assert task.majority_accuracy == counts[1][2] / task.num_test


def test_a_fine_tuned_model_knows_the_names_of_its_classes(tmp_path):
    """Two updates on made-up sentences: `labels` is what a Hugging Face folder calls id2label."""
    tokenizer = WordPieceTokenizer([*SPECIAL_TOKENS, "old", "new", "now"])
    texts = encode_texts(tokenizer, ["old", "new", "now"], None, [0, 1, 2], 8)
    task = EraTask(TrainingBatches(texts, 2, 1), [], [], ERAS, 3, 3, 0, 0, 0.0)
    run = Run(tmp_path / "run", settings_from_strings(1, {"task_steps": "2"}))
    run.use_text(TextData(tokenizer, np.zeros(0, int), None, [], task))
    fine_tune(run, "student", run.settings.student_config, {})
    model = load_model(tmp_path / "run" / "student_on_task")
    assert (model.head, model.num_labels, model.labels) == ("classification", 3, list(ERAS))
