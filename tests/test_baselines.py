"""Baselines without a model: majority is counted by hand, bag of words learns what one word decides."""

import numpy as np
import pytest
from fine_tuning_data import write_glue

from minimobilebert.cli import main
from minimobilebert.pipeline.baselines import baselines


def _write(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        "".join("\t".join(map(str, row)) + "\n" for row in [("sentence", "label"), *rows]), encoding="utf-8"
    )


@pytest.fixture
def data(tmp_path):
    """SST-2 in which "good" decides, more often than not; the dev set has two sentences of each kind and a third bad."""
    pytest.importorskip("sklearn", reason="needs the extra compare: make setup EXTRAS=compare")
    rng = np.random.default_rng(3)
    words = "ship sea boat whale crew".split()
    rows = [(f"a {word} {rng.choice(words)}", int(word == "good")) for word in ["good"] * 30 + ["bad"] * 20]
    _write(tmp_path / "SST-2" / "train.tsv", rows)
    _write(
        tmp_path / "SST-2" / "dev.tsv", [("good ship", 1), ("a good crew", 1), ("bad boat", 0), ("bad", 0), ("bad", 0)]
    )
    return tmp_path


def test_majority_always_says_the_commonest_class_of_the_training_rows(data):
    assert baselines(task="sst2", data=data)["majority"] == {"dev": {"accuracy": 2 / 5}}


def test_bag_of_words_learns_what_one_word_decides(data):
    assert baselines(task="sst2", data=data)["bag of words"] == {"dev": {"accuracy": 1.0}}


def test_the_two_texts_of_a_pair_are_counted_apart(tmp_path):
    pytest.importorskip("sklearn", reason="needs the extra compare: make setup EXTRAS=compare")
    head = "index\tsentence1\tsentence2\tlabel\n"
    rows = [("left", "right", "entailment"), ("right", "left", "not_entailment")] * 8
    text = head + "".join(f"{i}\t{a}\t{b}\t{label}\n" for i, (a, b, label) in enumerate(rows))
    for split in ("train", "dev"):
        (tmp_path / "RTE").mkdir(exist_ok=True)
        (tmp_path / "RTE" / f"{split}.tsv").write_text(text, encoding="utf-8")
    assert baselines(task="rte", data=tmp_path)["bag of words"]["dev"]["accuracy"] == 1.0


def test_a_task_that_asks_for_a_number_is_refused(tmp_path, capsys):
    write_glue(tmp_path)
    with pytest.raises(ValueError, match="found stsb, expected a task with classes"):
        baselines(task="stsb", data=tmp_path)
    with pytest.raises(SystemExit):
        main(["baselines", "--task", "stsb", "--data", str(tmp_path)])
    assert "invalid choice: 'stsb'" in capsys.readouterr().err
