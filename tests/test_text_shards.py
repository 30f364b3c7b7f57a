"""Text of any size: what `prepare` writes and what is read from it equals what would be made of the whole text in memory.

The oracle reads everything at once, with `split_paragraphs`, `split_sentences` and Python's csv, json and gzip.
"""

import csv
import gzip
import io
import itertools
import json
import os
import signal
import subprocess
import sys
import time
import tracemalloc
import types

import numpy as np
import pytest
from documents import ROOT
from hypothesis import example, given
from hypothesis import strategies as st

from minimobilebert.cli import main
from minimobilebert.commands import prepare as commands_prepare
from minimobilebert.support import files
from minimobilebert.text import prepare as preparing
from minimobilebert.text import seen_rows, shard_batches, shards, sources
from minimobilebert.text.corpus import split_paragraphs
from minimobilebert.text.encoding import encode_pair, pad_batch
from minimobilebert.text.paragraphs import has_blank_line, paragraphs_of, text_lines
from minimobilebert.text.prepare import Preparation, prepare
from minimobilebert.text.seen_rows import SeenRows, hashes_of
from minimobilebert.text.sentences import split_sentences
from minimobilebert.text.shard_batches import ShardBatches
from minimobilebert.text.shards import TextShards
from minimobilebert.text.wordpiece import SPECIAL_TOKENS, WordPieceTokenizer

WORDS = "the a ship whale sails sees far home wind storm".split()
LETTERS = "abcdefghijklmnopqrstuvwxyz"
TOKENIZER = WordPieceTokenizer([*SPECIAL_TOKENS, *WORDS, ".", *LETTERS[1:], *(f"##{letter}" for letter in LETTERS)])


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Shards, chunks and blocks so small that a few rows fill several."""
    monkeypatch.setattr(preparing, "CHUNK_ROWS", 7)
    monkeypatch.setattr(preparing, "SHARD_PIECES", 60)
    monkeypatch.setattr(shard_batches, "BLOCK", 5)
    monkeypatch.setattr(shard_batches, "WINDOW", 40)


def sentence(rng):
    words = rng.choice(WORDS, rng.integers(2, 9))
    return f"{words[0].capitalize()} {' '.join(words[1:])}."


def write_text(path, rng, paragraphs=12, blank_lines=True):
    texts = [" ".join(sentence(rng) for _ in range(rng.integers(1, 4))) for _ in range(paragraphs)]
    content = ("\n\n" if blank_lines else "\n").join(texts) + "\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(content.encode()) if path.suffix == ".gz" else content.encode())
    return content


@pytest.fixture
def texts(tmp_path):
    """A folder of texts -> path, {name: content}"""
    rng, folder = np.random.default_rng(1), tmp_path / "texts"
    names = {"a.txt": True, "b.txt.gz": True, "sub/c.txt": False, "sub/D.TXT": True}
    return folder, {name: write_text(folder / name, rng, blank_lines=blank) for name, blank in names.items()}


def rows_of(contents, unit="paragraph", keep_duplicates=False):
    """The oracle: documents, as str -> rows"""
    rows = []
    for content in contents:
        paragraphs = split_paragraphs(content)
        if unit == "sentence":
            rows += [sentence for paragraph in paragraphs for sentence in split_sentences(paragraph)]
        else:
            rows += [" ".join(paragraphs)] if unit == "document" else paragraphs
    return rows if keep_duplicates else list(dict.fromkeys(rows))


def pieces_in(folder):
    """The rows of prepared text -> list of lists of ids; each is read in two ways"""
    found = TextShards(folder)
    rows = found.texts(np.arange(found.rows))
    assert [len(row) for row in rows] == list(found.lengths(np.arange(found.rows)))
    whole = np.concatenate([np.load(path) for path in sorted(folder.glob("*.pieces.npy"))])
    np.testing.assert_array_equal(np.concatenate(rows), whole)
    assert found.pieces == len(whole)
    return [row.tolist() for row in rows]


def expected(rows, max_length=512):
    return [TOKENIZER.encode(row)[: max_length - 2] for row in rows]


def bytes_of(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.mark.parametrize("unit", sources.UNITS)
@pytest.mark.parametrize("keep_duplicates", [False, True])
def test_the_rows_are_those_of_the_texts_in_memory(tmp_path, texts, unit, keep_duplicates):
    folder, contents = texts
    out = tmp_path / "out"
    found = prepare([folder], out, TOKENIZER, Preparation(unit, max_length=10, keep_duplicates=keep_duplicates))
    rows = rows_of([contents[name] for name in ("a.txt", "b.txt.gz", "sub/D.TXT", "sub/c.txt")], unit, keep_duplicates)
    assert pieces_in(out) == expected(rows, 10)
    lengths = [len(TOKENIZER.encode(row)) for row in rows]
    assert found.counts["cut"] == sum(length > 8 for length in lengths) > 0
    everything = rows_of([*contents.values()], unit, keep_duplicates=True)
    assert found.counts["duplicates"] == len(everything) - len(set(everything))
    assert found.counts["unknown"] == sum(row.count(TOKENIZER.unk_id) for row in pieces_in(out))
    assert len(list(out.glob("*.pieces.npy"))) > 1 or unit == "document"


TEXT = st.text(st.sampled_from("ab é\n\r\t\x0b\x1c\u2028\u00a0."), max_size=30)


@given(TEXT)
@example("a\n\u00a0\r\nb")
@example("\n\na\nb\n\n")
def test_paragraphs_are_those_of_the_whole_text(text):
    content = text.encode()
    by_blank_lines = has_blank_line(io.BytesIO(content))
    assert list(paragraphs_of(text_lines(io.BytesIO(content), "x"), by_blank_lines, "x")) == split_paragraphs(text)


class Dribble(io.RawIOBase):
    """A file that gives one byte at a time."""

    def __init__(self, content):
        self.bytes = [content[i : i + 1] for i in range(len(content))]

    def read(self, size=-1):
        return self.bytes.pop(0) if self.bytes else b""


@given(TEXT)
@example("a\n\nb")
@example("a\n \n\nb")
def test_a_blank_line_is_found_wherever_the_blocks_end(text):
    assert has_blank_line(Dribble(text.encode())) == has_blank_line(io.BytesIO(text.encode()))


def test_a_table_a_field_a_document(tmp_path):
    rows = [["id", "text"], [1, "The ship sails.\nThe wind!"], [2, ""], [3, 'A "whale" sees.'], [4, "the ship"]]
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    (tmp_path / "a.csv").write_text(text.getvalue(), newline="")
    (tmp_path / "a.tsv.gz").write_bytes(gzip.compress(text.getvalue().replace(",", "\t").encode()))
    lines = [json.dumps({"meta": {"any": [1]}, "id": a, "text": b or None}) for a, b in rows[1:]]
    (tmp_path / "a.jsonl").write_text("\n".join([*lines, '{"id": 5}']))
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress((tmp_path / "a.jsonl").read_bytes()))
    for name in ("a.csv", "a.tsv.gz", "a.jsonl", "b.jsonl.gz"):
        found = prepare([tmp_path / name], tmp_path / f"out {name}", TOKENIZER)
        assert pieces_in(tmp_path / f"out {name}") == expected(rows_of([row[1] for row in rows[1:]]))
        assert found.counts["empty"] == (2 if "jsonl" in name else 1)
    encoded = text.getvalue().replace("whale", "Wäl").encode("cp1252")
    (tmp_path / "b.csv").write_bytes(encoded)
    prepare([tmp_path / "b.csv"], tmp_path / "out", TOKENIZER, Preparation("sentence", encoding="cp1252"))
    assert pieces_in(tmp_path / "out") == expected(
        rows_of([row[1].replace("whale", "Wäl") for row in rows[1:]], "sentence")
    )


def test_a_json_file_is_a_table_where_it_is_named(tmp_path):
    write_text(tmp_path / "texts" / "a.txt", np.random.default_rng(1))
    (tmp_path / "texts" / "b.json").write_text('{"text": "the ship"}\n')
    (tmp_path / "c.json.gz").write_bytes(gzip.compress(b'{"text": "the ship"}\n'))
    assert [path.name for path in sources.find_sources([tmp_path / "texts"])[0].files] == ["a.txt"]
    for name in ("texts/b.json", "c.json.gz"):
        prepare([tmp_path / name], tmp_path / name[-6:], TOKENIZER)
        assert pieces_in(tmp_path / name[-6:]) == expected(["the ship"])


def test_a_table_whose_quotation_marks_are_ordinary_characters(tmp_path, capsys):
    (tmp_path / "a.tsv").write_text('text\tlabel\n"the ship" sails\t1\n"the wind\t0\n')
    prepare([tmp_path / "a.tsv"], tmp_path / "out", TOKENIZER)
    assert pieces_in(tmp_path / "out") == expected(['"the ship" sails', '"the wind'])
    assert "found quotation marks that are not in pairs" in capsys.readouterr().err


def standard_input(monkeypatch, content):
    monkeypatch.setattr(sys, "stdin", types.SimpleNamespace(buffer=io.BytesIO(content), isatty=lambda: False))


def test_standard_input_has_a_document_on_each_line(tmp_path, texts, monkeypatch):
    folder, contents = texts
    lines = contents["a.txt"].encode()
    standard_input(monkeypatch, lines)
    out = tmp_path / "out"
    prepare(["-", folder / "sub"], out, TOKENIZER, Preparation("sentence"))
    both = [contents["a.txt"].replace("\n\n", "\n"), contents["sub/D.TXT"], contents["sub/c.txt"]]
    assert pieces_in(out) == expected(rows_of(both, "sentence"))
    before = bytes_of(out)
    standard_input(monkeypatch, lines)
    prepare(["-", folder / "sub"], out, TOKENIZER, Preparation("sentence"))
    assert bytes_of(out) == before
    standard_input(monkeypatch, lines.replace(b"wind", b"whale"))
    with pytest.raises(ValueError, match="found another text"):
        prepare(["-", folder / "sub"], out, TOKENIZER, Preparation("sentence"))


def test_archives(tmp_path, texts):
    folder, contents = texts
    import tarfile

    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as archive:
        archive.add(folder / "sub", "x")
    prepare([tmp_path / "a.tar.gz"], tmp_path / "out", TOKENIZER)
    assert sorted(pieces_in(tmp_path / "out")) == sorted(
        expected(rows_of([contents["sub/D.TXT"], contents["sub/c.txt"]]))
    )


def test_the_progress_ends_at_all_bytes(tmp_path, texts):
    folder, _ = texts
    reader = sources.RowReader(sources.find_sources([folder]), "sentence")
    positions = [reader.position for _ in reader]
    assert positions == sorted(positions) and positions[-1] <= reader.position
    assert reader.position == sum(path.stat().st_size for path in folder.rglob("*.*"))


def test_memory_does_not_grow_with_the_text(tmp_path, monkeypatch):
    """Four times the text, and no more memory; the rows are copies, so that their hashes are no more either."""
    monkeypatch.setattr(preparing, "SHARD_PIECES", 20_000)
    peaks, text = [], write_text(tmp_path / "a.txt", np.random.default_rng(1), 400, blank_lines=False)
    for times in (4, 16):
        (tmp_path / "a.txt").write_text(text * times)
        tracemalloc.start()
        prepare([tmp_path / "a.txt"], tmp_path / str(times), TOKENIZER, Preparation(keep_duplicates=True))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]


# Resume


class Killed(BaseException):
    """What a kill does in these tests: nobody catches it."""


def test_after_a_kill_at_any_write_the_same_call_ends_with_the_same_bytes(tmp_path, texts, monkeypatch):
    folder, _ = texts
    monkeypatch.setattr(preparing, "SHARD_PIECES", 250)
    prepare([folder], tmp_path / "whole", TOKENIZER)
    before, replace = bytes_of(tmp_path / "whole"), os.replace
    for stop, early in ((number // 2, number % 2) for number in itertools.count()):
        out, writes = tmp_path / f"{stop} {early}", itertools.count()

        def replace_or_die(source, target, stop=stop, early=early, writes=writes):
            dies = next(writes) == stop
            if dies and early:
                raise Killed
            replace(source, target)
            if dies:
                raise Killed

        monkeypatch.setattr(files.os, "replace", replace_or_die)
        try:
            prepare([folder], out, TOKENIZER)
        except Killed:
            pass
        else:
            break
        monkeypatch.setattr(files.os, "replace", replace)
        prepare([folder], out, TOKENIZER)
        assert bytes_of(out) == before
    assert stop > 8


def test_kill_9(tmp_path):
    """A process that waits for more of its standard input is killed; the second one gets all."""
    text = "".join(f"the ship sails {number}\n" for number in range(4000)).encode()
    TOKENIZER.save(tmp_path / "vocab.txt")
    code = (
        "import sys\nfrom minimobilebert.cli import main\nfrom minimobilebert.text import prepare\n"
        "prepare.CHUNK_ROWS, prepare.SHARD_PIECES = 100, 1000\nsys.exit(main(sys.argv[1:]))"
    )

    def start(out):
        words = ["prepare", "--text", "-", "--vocab", str(tmp_path / "vocab.txt"), "--out", str(out)]
        return subprocess.Popen([sys.executable, "-c", code, *words], cwd=ROOT, stdin=subprocess.PIPE,
                                stdout=subprocess.DEVNULL)  # fmt: skip

    process = start(tmp_path / "out")
    process.stdin.write(text[: len(text) // 2])
    process.stdin.flush()
    deadline, shard = time.monotonic() + 60, tmp_path / "out" / shards.names_of(4)[1]
    while not shard.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)
    process.wait()
    process.stdin.close()
    assert shard.exists()
    with pytest.raises(ValueError, match="was interrupted, expected a finished one"):
        TextShards(tmp_path / "out")
    for out in ("out", "whole"):
        process = start(tmp_path / out)
        process.communicate(text)
        assert process.returncode == 0
    assert bytes_of(tmp_path / "out") == bytes_of(tmp_path / "whole")


def test_an_unfinished_state_is_never_taken_for_a_finished_one(tmp_path, texts):
    folder, _ = texts
    out = tmp_path / "out"
    prepare([folder], out, TOKENIZER)
    before = bytes_of(out)
    (out / "manifest.json").rename(out / "unfinished.json")
    prepare([folder], out, TOKENIZER)
    assert bytes_of(out) == before


def interrupted(tmp_path, folder, monkeypatch, shards=2, **settings):
    """Text whose preparation was killed behind a few shards -> its folder"""
    write, count = preparing.ShardWriter.add, itertools.count(1)

    def add(writer, *arguments):
        write(writer, *arguments)
        if next(count) == shards:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(preparing.ShardWriter, "add", add)
        with pytest.raises(Killed):
            prepare([folder], tmp_path / "out", TOKENIZER, Preparation(**settings))
    return tmp_path / "out"


@pytest.mark.parametrize("option", ["--column", "--encoding"])
def test_options_of_tables_need_a_table(tmp_path, option):
    (tmp_path / "a.txt").write_text("the ship sails")
    setting = {option.removeprefix("--"): "utf-8"}
    with pytest.raises(ValueError, match=f"{option}: found 'utf-8' and no table among the texts"):
        prepare([tmp_path / "a.txt"], tmp_path / "out", TOKENIZER, Preparation(**setting))
    assert not (tmp_path / "out").exists()
    (tmp_path / "b.csv").write_text("utf-8\nthe ship\n" if option == "--column" else "text\nthe ship\n")
    prepare([tmp_path / "a.txt", tmp_path / "b.csv"], tmp_path / "out", TOKENIZER, Preparation(**setting))


def test_a_text_that_changed_is_refused(tmp_path, texts, monkeypatch):
    folder, contents = texts
    out = interrupted(tmp_path, folder, monkeypatch)
    for name, content in {"a.txt": contents["a.txt"].replace("ship", "home"), "sub/new.txt": "the ship"}.items():
        before = (folder / name).read_bytes() if (folder / name).exists() else None
        (folder / name).write_text(content)
        with pytest.raises(ValueError, match=f"{folder}: found other contents"):
            prepare([folder], out, TOKENIZER)
        (folder / name).write_bytes(before) if before else (folder / name).unlink()
    for settings in ({"unit": "sentence"}, {"max_length": 9}, {"keep_duplicates": True}):
        with pytest.raises(ValueError, match=f"found text prepared with {next(iter(settings))} = "):
            prepare([folder], out, TOKENIZER, Preparation(**settings))
    with pytest.raises(ValueError, match="found text prepared with sources = "):
        prepare([folder / "a.txt"], out, TOKENIZER)
    with pytest.raises(ValueError, match="found text prepared with vocabulary = "):
        prepare([folder], out, WordPieceTokenizer([*TOKENIZER.vocab, "more"]))
    prepare([folder], out, TOKENIZER)


@pytest.mark.parametrize("finished", [False, True])
def test_a_damaged_shard_is_noticed_and_a_missing_one_made_again(tmp_path, texts, monkeypatch, capsys, finished):
    folder, _ = texts
    prepare([folder], tmp_path / "whole", TOKENIZER)
    out = interrupted(tmp_path, folder, monkeypatch, shards=3)
    if finished:
        prepare([folder], out, TOKENIZER)
    for name in shards.names_of(1):
        content = bytearray((out / name).read_bytes())
        content[-1] ^= 1
        (out / name).write_bytes(content)
        with pytest.raises(ValueError, match=f"{name}: found other contents"):
            prepare([folder], out, TOKENIZER)
        if finished:
            with pytest.raises(ValueError, match=f"{name}: found other contents"):
                TextShards(out).texts(np.arange(TextShards(out).rows))
        (out / name).unlink()
        prepare([folder], out, TOKENIZER)
        assert bytes_of(out) == bytes_of(tmp_path / "whole")
        assert f"{name} is missing" in capsys.readouterr().err
        finished = True
    state = (out / "manifest.json").read_text().replace('"rows": ', '"rows": 1')
    (out / "manifest.json").write_text(state)
    with pytest.raises(ValueError, match="manifest.json: found a changed file"):
        TextShards(out)


# Batches


def shards_of(tmp_path, rows, seed=1):
    rng = np.random.default_rng(seed)
    lines = [f"{' '.join(rng.choice(WORDS, rng.integers(1, 12)))} {letters(number)}" for number in range(rows)]
    (tmp_path / "a.txt").write_text("\n".join(lines))
    return prepare([tmp_path / "a.txt"], tmp_path / f"out{rows}", TOKENIZER), lines


def letters(number):
    """A word for each number, so that rows differ"""
    return f"{chr(97 + number // 676)}{chr(97 + number // 26 % 26)}{chr(97 + number % 26)}"


@given(rows=st.integers(1, 150), batch_size=st.integers(1, 9), window=st.integers(1, 90), block=st.integers(1, 30))
def test_every_row_is_there_once_an_epoch(rows, batch_size, window, block):
    text = types.SimpleNamespace(rows=rows, lengths=lambda rows: np.asarray(rows) % 7)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shard_batches, "WINDOW", window)
        patch.setattr(shard_batches, "BLOCK", block)
        patch.setattr(shard_batches, "POOL", 3)
        batches = ShardBatches(text, 1, batch_size, 6)
        epochs = []
        for epoch in range(2):
            steps = range(epoch * batches.steps_per_epoch, (epoch + 1) * batches.steps_per_epoch)
            epochs.append([batches.rows(step) for step in steps])
            assert all(0 < len(batch) <= batch_size for batch in epochs[-1])
            assert sorted(np.concatenate(epochs[-1])) == list(range(rows))
    if rows > 20 and max(window, block) > 3:
        assert not np.array_equal(np.concatenate(epochs[0]), np.concatenate(epochs[1]))


def test_windows_have_other_rows_in_another_epoch():
    batches = ShardBatches(types.SimpleNamespace(rows=150, lengths=lambda rows: rows % 7), 1, 1, 9)
    first = [{int(row) for step in range(32) for row in batches.rows(start + step)} for start in (0, 150, 300)]
    assert all(len(rows) == 32 for rows in first)  # a window: of 40 rows, whole pools of 32 batches of one row
    assert not (first[0] == first[1] or first[1] == first[2])
    assert any(first[0] & rows for rows in first[1:])


def test_a_batch_is_what_pad_batch_makes_of_the_texts(tmp_path):
    found, lines = shards_of(tmp_path, 150)
    batches = found.batches(seed=3, batch_size=8, max_length=9)
    for step in range(batches.steps_per_epoch):
        rows = batches.rows(step)
        oracle = pad_batch([encode_pair(TOKENIZER, lines[row], max_length=9) for row in rows], TOKENIZER.pad_id)
        batch = batches(step)
        for array, other in zip(batch, oracle, strict=True):
            np.testing.assert_array_equal(array, other)
            assert array.dtype == other.dtype
    assert batch._fields == ("input_ids", "token_type_ids", "attention_mask")


def test_a_batch_is_a_function_of_seed_and_step(tmp_path):
    found, _ = shards_of(tmp_path, 120)
    steps = [40, 3, 17, 3, 0, 40]
    arrays = {step: found.batches(1, 8, 16)(step).input_ids for step in steps}
    batches = TextShards(found.folder).batches(1, 8, 16)
    for step in steps:
        np.testing.assert_array_equal(batches(step).input_ids, arrays[step])
    assert any(not np.array_equal(found.batches(2, 8, 16)(s).input_ids, arrays[s]) for s in steps)
    with pytest.MonkeyPatch.context() as patch:  # how the rows lie in shards makes no difference
        patch.setattr(preparing, "SHARD_PIECES", 10**6)
        whole = prepare([tmp_path / "a.txt"], tmp_path / "one", TOKENIZER)
    assert len(list(whole.folder.glob("*.pieces.npy"))) == 1
    np.testing.assert_array_equal(whole.batches(1, 8, 16)(17).input_ids, arrays[17])


def test_batches_have_similar_lengths(tmp_path, monkeypatch):
    monkeypatch.setattr(shard_batches, "WINDOW", 1000)
    found, _ = shards_of(tmp_path, 600)
    batches = found.batches(1, 8, 64)
    padded = sum(batches(step).attention_mask.size for step in range(batches.steps_per_epoch))
    assert padded < 1.1 * (found.pieces + 2 * found.rows)


def test_few_shards_are_open(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "MOST_OPEN", 3)
    found, lines = shards_of(tmp_path, 150)
    assert len(list(found.folder.glob("*.pieces.npy"))) > 6
    assert [row.tolist() for row in found.texts(np.arange(150))] == expected(lines)
    assert found._shard.cache_info().currsize == 3


def test_a_large_vocabulary_has_ids_of_32_bits(tmp_path):
    tokenizer = WordPieceTokenizer([*SPECIAL_TOKENS, *(f"w{number}" for number in range(70_000)), "the", "ship"])
    (tmp_path / "a.txt").write_text("the ship w69999")
    found = prepare([tmp_path / "a.txt"], tmp_path / "out", tokenizer)
    assert found.texts(np.arange(1))[0].tolist() == [70_005, 70_006, 70_004]
    assert np.load(tmp_path / "out" / "00000.pieces.npy").dtype == np.uint32


# Copies


@given(st.lists(st.lists(st.integers(0, 30), min_size=1, max_size=9), max_size=12), st.integers(1, 40))
def test_seen_rows_are_the_first_ones(chunks, most):
    seen, known = SeenRows(most), set()
    for chunk in chunks:
        found = seen.add(hashes_of([str(number) for number in chunk]))
        fresh = [i for i, n in enumerate(chunk) if n not in known and n not in chunk[:i]]
        assert np.flatnonzero(found).tolist() == fresh
        for i in fresh:
            if len(known) < most:
                known.add(chunk[i])
    assert seen.count == len(known) <= most


def test_behind_the_limit_copies_of_new_rows_stay(tmp_path, monkeypatch):
    monkeypatch.setattr(seen_rows, "MOST", 3)
    (tmp_path / "a.txt").write_text("\n".join(["a", "b", "c", "d", "e", "f", "g", "d", "a", "b"]))
    prepare([tmp_path / "a.txt"], tmp_path / "out", TOKENIZER)
    assert pieces_in(tmp_path / "out") == expected("abcdefgd")


# Errors


def refused(capsys, *words):
    """The line with which the command refuses"""
    assert main(["prepare", *map(str, words)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1].startswith("minimobilebert: error: ")
    return lines[-1].removeprefix("minimobilebert: error: ")


BAD = {
    "a.txt": {
        b"the ship\n\xff\n": "a.txt, line 2: found byte 0xff, expected UTF-8",
        b"the\0ship": "a.txt, line 1: found a NUL character",
        b"": "--text: found no words, expected some",
        b" \n \n": "--text: found no words, expected some",
        b"\x01\x02": "--text: found no words, expected some",
    },
    "a.txt.gz": {
        gzip.compress(b"the ship sails home" * 50)[:-9]: "a.txt.gz: found a damaged .gz file",
        b"the ship": "a.txt.gz: found a damaged .gz file",
        gzip.compress(b"the\nship\n\xff"): "a.txt.gz, line 3: found byte 0xff",
    },
    "a.csv": {
        b"id,words\n1,ship\n": "a.csv: line 1: found no column 'text' among id, words, expected one",
        b"id,text\n1,ship\n2\n": "a.csv: row 2 (line 3): found 1 fields, expected 2",
        b'id,text\n1,"ship\n': "a.csv: row 1 (line 2): unexpected end of data",
        b"": "a.csv: found an empty file",
        b"text\n\n": "--text: found no words, expected some",
    },
    "a.jsonl": {
        b'{"text": "ship"}\n{"text": \n': "a.jsonl: line 2: ",
        b'{"text": ["ship"]}\n': "a.jsonl: line 1: field text: found a list",
        b'{"words": "ship"}\n': "a.jsonl: line 1: found no column 'text'",
        b"[1]\n": "a.jsonl: found a JSON list",
    },
    "a.tar": {b"the ship": "a.tar: found a file that is not a readable .tar archive"},
    "a.md": {b"the ship": "a.md: found an unknown kind of file, expected .txt, .txt.gz, .csv"},
}  # fmt: skip


@pytest.mark.parametrize(("name", "content"), [(name, content) for name in BAD for content in BAD[name]])
def test_what_is_no_text_is_one_line(tmp_path, capsys, name, content):
    TOKENIZER.save(tmp_path / "vocab.txt")
    (tmp_path / name).write_bytes(content)
    words = "--text", tmp_path / name, "--vocab", tmp_path / "vocab.txt", "--out", tmp_path / "out"
    line = refused(capsys, *words)
    assert BAD[name][content] in line
    (tmp_path / "b.txt").write_text("the ship")  # the folder is free for another try
    assert main(["prepare", *map(str, words), "--text", str(tmp_path / "b.txt")]) == 0


def test_what_else_is_refused(tmp_path, texts, capsys):
    folder, _ = texts
    for name in ("run", "empty", "full"):
        (tmp_path / name).mkdir()
    TOKENIZER.save(tmp_path / "run" / "vocab.txt")
    vocab, out = ("--vocab", tmp_path / "run"), ("--out", tmp_path / "out")
    (tmp_path / "full" / "note").write_text("mine")
    for words, line in {
        ("--text", tmp_path / "no", *vocab, *out): "no: not found",
        ("--text", tmp_path / "empty", *vocab, *out): "empty: found no text, expected at least one",
        ("--text", folder, folder / "a.txt", *vocab, *out): "or inside it, expected each text once",
        ("--text", "-", "-", *vocab, *out): "found standard input twice",
        ("--text", folder, *vocab, "--out", folder / "out"): "inside of the text",
        ("--text", folder, *vocab, "--out", tmp_path / "full"): "full: found note there",
        ("--text", folder, *vocab, "--max-length", "2", *out): "max_length: found 2, expected at least 3",
        ("--text", folder, "--vocab", tmp_path / "empty", *out): "empty: found no vocab.txt",
        ("--text", folder, "--vocab", tmp_path / "no", *out): "no: not found, expected a run",
    }.items():
        assert line in refused(capsys, *words)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.txt")
        assert "found a pipe" in refused(capsys, "--text", tmp_path / "pipe.txt", *vocab, *out)
    with pytest.raises(ValueError, match="found no manifest.json, expected prepared text"):
        TextShards(folder)
    found = prepare([folder], tmp_path / "good", TOKENIZER)
    for numbers, name in (((0, 9), "batch_size"), ((1, 2), "max_length")):
        with pytest.raises(ValueError, match=name):
            found.batches(1, *numbers)


def test_prepared_text_is_not_prepared_again(tmp_path, texts):
    """Its vocab.txt would be read as a text."""
    prepare([texts[0]], tmp_path / "shards", TOKENIZER)
    with pytest.raises(ValueError, match="shards: found text that is prepared already"):
        prepare([tmp_path / "shards"], tmp_path / "again", TOKENIZER)


def test_long_rows_are_refused(tmp_path, monkeypatch):
    from minimobilebert.text import paragraphs

    monkeypatch.setattr(paragraphs, "MOST_ROW", 50)
    long = {
        "the ship sails " * 5: ", line 1: found more than 50 bytes",
        "the ship\n" * 9 + "\nthe": "found a paragraph of",
    }
    for content, line in long.items():
        (tmp_path / "a.txt").write_text(content)
        with pytest.raises(ValueError, match=line):
            prepare([tmp_path / "a.txt"], tmp_path / "out", TOKENIZER)
    (tmp_path / "a.txt").write_text("the ship\n" * 9)
    with pytest.raises(ValueError, match="a.txt: found a document of more than 50 characters"):
        prepare([tmp_path / "a.txt"], tmp_path / "out", TOKENIZER, Preparation("document"))


def test_the_command_says_what_it_did(tmp_path, texts, capsys):
    folder, contents = texts
    (folder / "notes.md").write_text("x")
    TOKENIZER.save(tmp_path / "vocab.txt")
    words = ["prepare", "--text", str(folder), "--vocab", str(tmp_path), "--out", str(tmp_path / "out")]
    assert main([*words, "--max-length", "9"]) == 0
    printed = capsys.readouterr()
    assert "left out 1 not named .txt, .txt.gz, " in printed.err
    rows = rows_of(contents.values())
    assert printed.out.startswith(f"{tmp_path / 'out'}: {len(rows)} rows, ")
    assert main([*words, "--max-length", "9", "--json"]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["rows"] == len(rows)
    assert "it is prepared already" in printed.err


def test_the_command_offers_every_unit():
    """The command has the names of its own, because the readers of texts are slow to import."""
    assert commands_prepare._UNITS == sources.UNITS
