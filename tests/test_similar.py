"""`similar` and `embed --out`: the lines of a file in blocks, with the vectors that `embed` gives, in bounded memory."""

import io
import json
import tracemalloc

import numpy as np
import pytest
from fine_tuning_data import NAMES, THINGS, write_model

from minimobilebert.cli import main
from minimobilebert.inference import similar as module
from minimobilebert.inference.embed import Embedder, embed
from minimobilebert.inference.model import Model
from minimobilebert.inference.similar import similar
from minimobilebert.model.sentence_settings import SentenceSettings
from minimobilebert.support.npy import reading_rows, writing_rows
from minimobilebert.training.model_folder import load_model, save_model

LINES = [f"{name} eats {thing} ." for name in NAMES for thing in THINGS[:5]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("model") / "m")


@pytest.fixture(scope="module")
def model(folder):
    return Model.load(folder)


@pytest.fixture
def texts(tmp_path):
    path = tmp_path / "lines.txt"
    path.write_text("\n".join(LINES), encoding="utf-8")  # no line feed at the end
    return str(path)


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(module, "BLOCK", 7)


def said(error):
    """Standard error without the line that kernels are compiled, which depends on the disk cache."""
    return "".join(line for line in error.splitlines(keepends=True) if not line.startswith("compiling"))


def by_hand(model, query, lines, top):
    vectors = embed(model, [query, *lines])
    cosines = np.round(vectors[1:] @ vectors[0], 6)
    order = sorted(range(len(lines)), key=lambda i: -cosines[i])[:top]
    return [(i + 1, pytest.approx(float(cosines[i]), abs=2e-6), lines[i]) for i in order]


@pytest.mark.parametrize("top", [1, 6, 500])
def test_the_nearest_lines(model, texts, small_blocks, top):
    assert similar(Embedder(model), "ada eats soup", texts, top) == by_hand(model, "ada eats soup", LINES, top)


def test_stored_vectors_give_the_same(folder, model, texts, small_blocks, tmp_path, capsys):
    out = str(tmp_path / "vectors.npy")
    assert main(["embed", "--model", folder, "--texts", texts, "--out", out]) == 0
    assert capsys.readouterr().out == f"80 vectors of 32 numbers written to {out}\n"
    np.testing.assert_array_equal(np.load(out), embed(model, LINES))
    words = ["similar", "ben eats milk", "--model", folder, "--texts", texts, "--top", "4", "--json"]
    assert main(words) == 0
    computed = json.loads(capsys.readouterr().out)
    assert main([*words, "--vectors", out]) == 0
    assert json.loads(capsys.readouterr().out) == computed
    assert [row["text"] for row in computed] == [line for _, _, line in by_hand(model, "ben eats milk", LINES, 4)]


def test_a_line_that_changed_behind_the_first_is_noticed_where_it_is_shown(model, tmp_path):
    lines, path = ["ada eats tea", "ben", "milk milk milk"], tmp_path / "lines.txt"
    path.write_text("\n".join(lines), encoding="utf-8")
    np.save(tmp_path / "v.npy", embed(model, [lines[0], lines[2], lines[1]]))
    with pytest.raises(ValueError, match=r"v\.npy: row [23]: found another vector than this model gives for line [23]"):
        similar(Embedder(model), "ben", path, 3, tmp_path / "v.npy")


def test_equal_lines_come_in_their_order_and_empty_ones_not_at_all(folder, tmp_path, capsys, small_blocks):
    path = tmp_path / "lines.txt"
    path.write_bytes(b"\xef\xbb\xbfleo eats figs\r\n\n" + b"ada eats tea\n \n" * 9)
    assert main(["similar", "ada eats tea", "--texts", str(path), "--model", folder, "--top", "12"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines[:-1]] == [str(number) for number in range(3, 21, 2)]
    assert lines[0] == "  1.000   3  ada eats tea" and lines[-1].endswith("  1  leo eats figs")


def test_rows_are_lines_even_where_these_are_empty(folder, model, tmp_path, capsys):
    (tmp_path / "lines.txt").write_text("ada\n\nben\n")
    out = str(tmp_path / "v.npy")
    assert main(["embed", "--texts", str(tmp_path / "lines.txt"), "--model", folder, "--out", out]) == 0
    assert "note: 1 of 3 lines are empty" in capsys.readouterr().err
    np.testing.assert_array_equal(np.load(out), embed(model, ["ada", "", "ben"]))


def test_vectors_of_standard_input_and_of_arguments(folder, model, tmp_path, monkeypatch):
    out = str(tmp_path / "v.npy")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"ada\nben\n")))
    assert main(["embed", "--model", folder, "--out", out]) == 0
    np.testing.assert_array_equal(np.load(out), embed(model, ["ada", "ben"]))
    assert main(["embed", "gina", "--model", folder, "--out", out]) == 0
    np.testing.assert_array_equal(np.load(out), embed(model, ["gina"]))


def test_a_model_is_embedded_as_it_was_made(folder, tmp_path, capsys):
    """[CLS], cut at 5 pieces, not normalised; --pooling overrides the pooling, and says so."""
    saved = load_model(folder)
    settings = SentenceSettings("cls", False, 5)
    save_model(tmp_path / "cls", *saved[:2], saved.tokenizer, sentence=settings)
    model = Model.load(tmp_path / "cls")
    long, short = "ada eats tea today .", "ada eats tea"
    vectors = embed(model, [long, short])
    assert said(capsys.readouterr().err) == "note: 1 of 2 inputs cut to 5 word pieces (the length it was trained for)\n"
    np.testing.assert_array_equal(vectors[0], vectors[1])
    np.testing.assert_allclose(vectors[1], model.encode([short]).last_hidden[0, 0], rtol=1e-6)
    assert main(["embed", short, "--model", str(tmp_path / "cls"), "--json", "--pooling", "mean"]) == 0
    captured = capsys.readouterr()
    assert said(captured.err) == "note: pooling by mean, as --pooling asks; the model was made for cls\n"
    expected = model.encode([short]).last_hidden[0].mean(axis=0)
    np.testing.assert_allclose(json.loads(captured.out)[0]["vector"], expected, rtol=1e-5, atol=1e-6)
    assert main(["embed", short, "gina", "--model", str(tmp_path / "cls")]) == 0  # cosines, although not of length 1
    assert capsys.readouterr().out.count("1.000") == 2


def test_memory_does_not_grow_with_the_lines(model, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "BLOCK", 64)
    monkeypatch.setattr(Embedder, "__call__", lambda self, texts: np.ones((len(texts), 32), np.float32))
    peaks = []
    for count in (2_000, 40_000):
        (tmp_path / "lines.txt").write_text(f"{'ada ' * 20}\n" * count)
        tracemalloc.start()
        similar(Embedder(model), "ada", tmp_path / "lines.txt", 3)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0] < 1e6


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["embed", "a", "--out", "v.txt"], "--out: found 'v.txt', expected a name that ends in .npy"),
        (["embed", "a", "--out", "v.npy", "--json"], "--out: found it with --json or --top"),
        (["embed", "a", "--out", "folder.npy"], "folder.npy: found a folder, expected the name of a file"),
        (["embed", "a", "--texts", "lines.txt"], "--texts: found it with texts as arguments"),
        (["embed", "--texts", "missing.txt"], "missing.txt"),
        (["embed", "--texts", "empty.txt", "--out", "v.npy"], "text: found none, expected at least one line"),
        (["embed", "--texts", "latin.txt", "--out", "v.npy"], "latin.txt, line 2: found byte 0xe9, expected UTF-8"),
        (["similar", " ", "--texts", "lines.txt"], "query: found nothing, expected words"),
        (["similar", "ada", "--texts", "empty.txt"], "empty.txt: found no text, expected one a line"),
        (["similar", "ada", "--texts", "lines.txt", "--vectors", "few.npy"], "few.npy: found 79 vectors, expected one for each"),
        (["similar", "ada", "--texts", "lines.txt", "--vectors", "many.npy"], "many.npy: found 81 vectors, expected 80"),
        (["similar", "ada", "--texts", "lines.txt", "--vectors", "wide.npy"], "wide.npy: found vectors of 33 numbers, expected 32"),
        (["similar", "ada", "--texts", "lines.txt", "--vectors", "cut.npy"], "cut.npy: found 10,236 bytes of numbers"),
        (["similar", "ada", "--texts", "lines.txt", "--vectors", "nan.npy"], "nan.npy: row 78: found a number that is not finite"),
        (["similar", "ada", "--texts", "lines.txt", "--vectors", "other.npy"], "other.npy: row 1: found another vector than this model gives for line 1"),
        (["similar", "ada", "--texts", "lines.txt", "--vectors", "lines.txt"], "lines.txt: found no vectors, expected a .npy"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_one_line(
    folder, model, texts, tmp_path, monkeypatch, capsys, small_blocks, words, message
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.npy").mkdir()
    (tmp_path / "empty.txt").write_text("")
    (tmp_path / "latin.txt").write_bytes(b"ada\ncaf\xe9\n")
    rng = np.random.default_rng(1)
    shapes = {"few": (79, 32), "many": (81, 32), "wide": (80, 33), "cut": (80, 32), "nan": (80, 32), "other": (80, 32)}
    for name, shape in shapes.items():
        vectors = rng.normal(size=shape).astype(np.float32)
        if name not in ("other", "wide"):
            vectors[: len(LINES)] = embed(model, LINES)[: len(vectors)]
        if name == "nan":
            vectors[77, 3] = np.nan
        np.save(tmp_path / f"{name}.npy", vectors)
    (tmp_path / "cut.npy").write_bytes((tmp_path / "cut.npy").read_bytes()[:-4])
    assert main([*words, "--model", folder]) == 2
    lines = said(capsys.readouterr().err).splitlines()
    assert len(lines) == 1 and message in lines[0]
    assert not (tmp_path / "v.npy").exists() and not list(tmp_path.glob(".*.tmp"))


@pytest.mark.parametrize("count", [0, 1, 5, 12])
def test_numpy_reads_what_is_written_in_blocks(tmp_path, count):
    rows = np.random.default_rng(2).normal(size=(count, 3)).astype(np.float32)
    with writing_rows(tmp_path / "v.npy", 3) as write:
        for start in range(0, count, 5):
            write(rows[start : start + 5])
    np.testing.assert_array_equal(np.load(tmp_path / "v.npy"), rows)
    with reading_rows(tmp_path / "v.npy", 3) as read:
        np.testing.assert_array_equal(np.concatenate([read.read(4), read.read(20), read.read(1)]), rows)


def test_a_failure_leaves_the_old_file(tmp_path):
    (tmp_path / "v.npy").write_text("old")
    with pytest.raises(RuntimeError), writing_rows(tmp_path / "v.npy", 3) as write:
        write(np.ones((2, 3)))
        raise RuntimeError
    assert (tmp_path / "v.npy").read_text() == "old" and len(list(tmp_path.iterdir())) == 1
