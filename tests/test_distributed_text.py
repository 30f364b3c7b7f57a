"""Text prepared by several ranks: the same bytes."""

import contextlib

import numpy as np
import pytest

from minimobilebert.distilling.texts import read_text
from minimobilebert.distributed.communicator import WorkIsDone, current
from minimobilebert.distributed.threads import run_ranks
from minimobilebert.text import prepare as preparing
from minimobilebert.text.wordpiece import SPECIAL_TOKENS, WordPieceTokenizer


def test_standard_input_is_refused_for_several_ranks(tmp_path):
    """MPI gives it to rank 0 alone; `distil` prepares the text on each rank."""

    def run():
        with pytest.raises(ValueError, match="--text: found standard input with 2 ranks, expected files"):
            read_text(["-"], None, None, tmp_path / str(current().rank))

    run_ranks(2, run)


@pytest.mark.parametrize("ranks", [2, 3, 5])
def test_prepared_text_has_the_same_bytes_on_any_number_of_ranks(tmp_path, monkeypatch, ranks):
    """Many small chunks and shards; the last group of chunks is not full, and a row is blank."""
    monkeypatch.setattr(preparing, "CHUNK_ROWS", 4)
    monkeypatch.setattr(preparing, "SHARD_PIECES", 60)
    rng = np.random.default_rng(5)
    lines = [" ".join(rng.choice(["sea", "ship", "whale", "at", "dawn"], rng.integers(1, 9))) for _ in range(57)]
    (tmp_path / "text.txt").write_text("\n".join([*lines[:9], "\u200b", *lines[9:]]) + "\n", encoding="utf-8")
    tokenizer = WordPieceTokenizer([*SPECIAL_TOKENS, "sea", "ship", "whale", "at", "dawn"])

    def prepare(out):
        return preparing.prepare([tmp_path / "text.txt"], out, tokenizer, preparing.Preparation(unit="sentence"))

    def on_rank():
        try:
            prepare(tmp_path / "many")
        except WorkIsDone:
            return current().rank

    prepare(tmp_path / "one")
    for _ in range(2):  # the second time it is there already
        assert run_ranks(ranks, on_rank) == [None, *range(1, ranks)]
    one, many = ({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("one", "many"))
    assert len(one) > 6 and one == many


@pytest.mark.parametrize("ranks", [2, 3])
def test_a_chunk_with_nothing_but_copies_keeps_its_turn(tmp_path, monkeypatch, ranks):
    """Such a chunk has no row left, yet it is no sign that a rank has come to the end."""
    monkeypatch.setattr(preparing, "CHUNK_ROWS", 2)
    lines = ["sea", "ship", *["sea", "ship"] * 3, "whale", "at", *["at", "sea"] * 2, "dawn", "sea dawn", "at dawn"]
    (tmp_path / "text.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    tokenizer = WordPieceTokenizer([*SPECIAL_TOKENS, "sea", "ship", "whale", "at", "dawn"])

    def on_rank(out):
        with contextlib.suppress(WorkIsDone):
            preparing.prepare([tmp_path / "text.txt"], out, tokenizer, preparing.Preparation(unit="sentence"))

    on_rank(tmp_path / "one")
    run_ranks(ranks, lambda: on_rank(tmp_path / "many"))
    one, many = ({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("one", "many"))
    assert one == many


def test_ranks_with_other_texts_are_refused(tmp_path):
    for name in ("a", "b"):
        (tmp_path / f"{name}.txt").write_text(f"a {name}\n", encoding="utf-8")
    tokenizer = WordPieceTokenizer([*SPECIAL_TOKENS, "a", "b"])
    with pytest.raises(ValueError, match="found other texts on rank 1 than on rank 0"):
        run_ranks(2, lambda: preparing.prepare([tmp_path / f"{'ab'[current().rank]}.txt"], tmp_path / "o", tokenizer))
