"""`embed` of many texts: the nearest of each, in blocks; nothing grows with the square of their number."""

import io
import json
import tracemalloc

import numpy as np
import pytest
from fine_tuning_data import NAMES, THINGS, write_model
from hypothesis import given
from hypothesis import strategies as st

from minimobilebert.cli import main
from minimobilebert.commands import sentences
from minimobilebert.inference.neighbours import nearest


def by_hand(vectors, top):
    """All cosines, sorted by Python, which keeps the order of equal ones"""
    rows = []
    for i, one in enumerate(vectors):
        others = [(round(float(np.dot(one, other)), 6), j) for j, other in enumerate(vectors) if j != i]
        rows.append(sorted(others, key=lambda pair: -pair[0])[:top])
    return rows


@given(st.integers(1, 30), st.integers(1, 40), st.integers(1, 200), st.sampled_from([0.0, 1e-9]), st.integers(0, 999))
def test_the_nearest(count, top, block, noise, seed):
    """Vectors of few values: many equal cosines, also those that only the order of additions tells apart."""
    rng = np.random.default_rng(seed)
    vectors = rng.integers(-1, 2, (count, 3)) * 0.5 + noise * rng.random((count, 3))
    places, cosines = nearest(vectors, top, block)
    expected = by_hand(vectors, top)
    assert places.tolist() == [[place for _, place in row] for row in expected]
    assert cosines.tolist() == [[cosine for cosine, _ in row] for row in expected]


def test_memory_grows_with_the_texts():
    """A table of these would be 72 MB, in single precision."""
    vectors = np.random.default_rng(1).normal(size=(4_000, 8)).astype(np.float32)
    tracemalloc.start()
    places, _ = nearest(vectors, 3, block=1 << 16)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert places.shape == (4_000, 3) and peak < 3e6


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("model") / "m", head="pretraining")


@pytest.fixture
def typed(monkeypatch, capsys, model):
    """typed(lines, words) -> exit code, stdout, stderr of `embed` with these lines as standard input"""

    def run(lines, *words):
        content = lines if isinstance(lines, bytes) else "".join(f"{line}\n" for line in lines).encode()
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))
        code = main(["embed", "--model", model, *words])
        return code, *capsys.readouterr()

    return run


TEXTS = [f"{name} eats {thing} ." for name in NAMES for thing in THINGS[:3]]  # 48


def test_a_few_texts_are_a_table_and_many_are_lists(typed):
    code, out, _ = typed(TEXTS[:20])
    assert code == 0 and len(out.splitlines()) == 20 + 2 + 20
    code, out, _ = typed(TEXTS)
    lines = out.splitlines()
    assert code == 0 and len(lines) == 4 * 48 and lines[4] == " 2  ada eats milk ."
    vectors = np.array([row["vector"] for row in json.loads(typed(TEXTS, "--json")[1])])
    for i, row in enumerate(by_hand(vectors, 3)):
        for line, (cosine, place) in zip(lines[4 * i + 1 : 4 * i + 4], row, strict=True):
            assert line == f"    {cosine:7.3f}  {place + 1:2}  {TEXTS[place]}"
    assert typed(TEXTS[:3], "--top", "1")[1].splitlines()[0] == "1  ada eats tea ."


def test_json_of_the_nearest(typed):
    rows = json.loads(typed(TEXTS[:5], "--json", "--top", "2")[1])
    assert [row["text"] for row in rows] == TEXTS[:5]
    expected = by_hand(np.array([row["vector"] for row in rows]), 2)
    found = [[(n["cosine"], n["number"] - 1) for n in row["nearest"]] for row in rows]
    assert [[place for _, place in row] for row in found] == [[place for _, place in row] for row in expected]
    assert json.loads(typed(["ada"], "--json", "--top", "9")[1])[0]["nearest"] == []


def test_a_standard_input_without_end_is_refused(typed, monkeypatch):
    monkeypatch.setattr(sentences, "_MOST_INPUT", 1_000)
    code, out, err = typed(b"ada\n" * 1_000)
    assert (code, out) == (2, "") and err == (
        "minimobilebert: error: standard input: found more than 1,000 bytes, expected fewer at a time\n"
    )
    assert typed("\ufeffada\n".encode() * 2)[0] == 0  # a byte-order mark at the beginning is none of the text
    assert typed(b"ada\n\nb\xffn")[2].endswith("standard input, line 3: found byte 0xff, expected UTF-8\n")
