"""`prepare`: texts of any size -> shards of word pieces (shards.py), row by row.

    sources -> rows -> chunks of CHUNK_ROWS -> without copies -> word pieces -> a shard of about SHARD_PIECES

Each shard is written atomically, and noted in `unfinished.json`. After an interruption, even `kill -9`, the same
command reads the rows of the finished shards again without cutting them into pieces, compares their hash with the noted
one, and goes on behind them: the result has the same bytes.

With several ranks (distributed/communicator.py) every rank reads all rows, and they take turns in cutting chunks into
pieces; rank 0 writes the shards, which are the same with any number of ranks. All ranks need the same files.
"""

import hashlib
import itertools
import json
import pathlib
import time
from typing import NamedTuple

import numpy as np

from ..distributed.communicator import current, exchange, gather_bytes, leader_only
from ..distributed.whole_runs import held_by_leader
from ..support.files import path_of
from ..support.locks import claimed
from ..support.shapes import shown
from ..support.terminal import progress_bar, say
from .seen_rows import SeenRows, hashes_of
from .shard_writer import EncodedRows, ShardWriter
from .shards import (
    MANIFEST,
    UNFINISHED,
    VOCABULARY,
    TextShards,
    check_shard,
    names_of,
    read_state,
)
from .sources import COLUMN, STANDARD_INPUT, UNITS, RowReader, find_sources, fingerprints_of
from .wordpiece import WordPieceTokenizer

CHUNK_ROWS, CHUNK_CHARACTERS = 4096, 2**21
SHARD_PIECES = 2**22
_MEGABYTE = 1_000_000


class Preparation(NamedTuple):
    """What rows are, and which are kept."""

    unit: str = "paragraph"  # "document", "paragraph" or "sentence"
    column: str | None = None  # of tables; None: "text"
    encoding: str | None = None  # of tables; None: found out
    max_length: int = 512  # pieces of a row, including [CLS] and [SEP]; longer rows are cut
    keep_duplicates: bool = False

    def check(self):
        """ValueError for a setting that cannot be"""
        if self.unit not in UNITS:
            raise ValueError(f"unit: found {shown(self.unit)}, expected {', '.join(UNITS)}")
        if self.max_length < 3:
            raise ValueError(f"max_length: found {self.max_length}, expected at least 3: [CLS], a piece, [SEP]")


def _chunks(rows):
    """Lists of CHUNK_ROWS rows, or fewer if they are long"""
    chunk, characters = [], 0
    for row in rows:
        chunk.append(row)
        characters += len(row)
        if len(chunk) >= CHUNK_ROWS or characters >= CHUNK_CHARACTERS:
            yield chunk
            chunk, characters = [], 0
    if chunk:
        yield chunk


class _Rows:
    """Chunks of all rows, with a running hash, and without copies."""

    def __init__(self, reader, keep_duplicates):
        self.reader, self.keep_duplicates, self.seen = reader, keep_duplicates, SeenRows()
        self.duplicates = self._read = 0
        self._chunks, self._digest = _chunks(reader), hashlib.sha256()

    def __iter__(self):
        return self

    def __next__(self):
        chunk = next(self._chunks)
        hashes = hashes_of(chunk)
        self._digest.update(hashes.tobytes())
        self._read += len(chunk)
        is_new = self.seen.add(hashes)
        self.duplicates += int(len(chunk) - is_new.sum())
        return chunk if self.keep_duplicates else [row for row, new in zip(chunk, is_new, strict=True) if new]

    @property
    def end(self):
        """How far it is: rows that were read, their hash"""
        return {"read": self._read, "text": self._digest.hexdigest()[:32]}


def _inputs(sources, tokenizer, preparation):
    """All that the shards depend on -> dict"""
    settings = {
        **preparation._asdict(), "column": preparation.column or COLUMN, "encoding": preparation.encoding or ""
    }  # fmt: skip
    return {"vocabulary": tokenizer.digest, **settings, "sources": fingerprints_of(sources)}


def _check_inputs(path, known, inputs):
    """ValueError if the text in the folder of `path` was prepared from `known`, and not from `inputs`"""
    names = [source["name"] for source in inputs["sources"]]
    known_sources = {source["name"]: source for source in known["sources"]}
    shown_known = {**known, "sources": list(known_sources)}
    for name, expected in {**inputs, "sources": names}.items():
        if shown_known.get(name) != expected:
            raise ValueError(
                f"{path}: found text prepared with {name} = {shown_known.get(name)}, expected {expected}; give the same"
                " settings to go on with it, or choose another folder with --out"
            )
    for source in inputs["sources"]:
        if known_sources[source["name"]] != source:
            raise ValueError(
                f"{source['name']}: found other contents than when the text in {path.parent} was prepared, expected the"
                " same; put them back, or choose another folder with --out"
            )


def _known_state(out, inputs):
    """What an earlier `prepare` left, with those of its shards that are still there -> state, or None for nothing

    ValueError if it was made from other inputs, DamagedShards if a shard was changed.
    """
    path = next((out / name for name in (MANIFEST, UNFINISHED) if (out / name).exists()), None)
    if path is None:
        others = sorted(entry.name for entry in out.iterdir() if not entry.name.startswith("."))
        if others:
            raise ValueError(f"{out}: found {others[0]} there, expected a new or empty folder, or prepared text")
        return None
    state = read_state(path)
    if path.name == UNFINISHED:
        state["end"] = None
    if not state["shards"]:
        return None
    _check_inputs(path, state["inputs"], inputs)
    for number, record in enumerate(state["shards"]):
        missing = [name for name in names_of(number) if not (out / name).exists()]
        if missing:
            say(f"note: {out / missing[0]} is missing; it and what follows is made again")
            return {**state, "shards": state["shards"][:number], "end": None}
        check_shard(out, number, record)
    return state


def _shared(inputs, known_state):
    """What rank 0 finds in the folder, on every rank. ValueError if the ranks' texts differ."""
    communicator = current()
    known = known_state() if communicator.rank == 0 else None
    if communicator.size == 1:
        return known
    every = [json.loads(content) for content in gather_bytes(communicator, json.dumps([inputs, known]).encode())]
    for rank, (found, _) in enumerate(every):
        if found != every[0][0]:
            raise ValueError(f"--text: found other texts on rank {rank} than on rank 0, expected the same files")
    return every[0][1]


def _read_again(rows, end, out):
    """Read the rows up to `end`, that of a state. ValueError if they are other ones."""
    with progress_bar("read again", max(end["read"], 1), unit="row") as bar:
        before = 0
        while rows.end["read"] < end["read"] and next(rows, None) is not None:
            bar.update(steps=rows.end["read"] - before)
            before = rows.end["read"]
    if rows.end != end:
        raise ValueError(f"--text: found another text than when the one in {out} was begun, expected the same")


class _Chunk(NamedTuple):
    """Some rows, and how far the text was read with them."""

    rows: list
    end: dict
    megabytes: int


def _travelled(communicator, encoded):
    """EncodedRows from this rank to rank 0 -> list of those of all ranks; None is a rank that has none any more

    The first of five numbers is 1 for a rank with a chunk, even if the chunk had nothing but copies and all else is 0.
    """
    numbers = [0] * 5 if encoded is None else [1, *map(len, encoded[:2]), encoded.cut, encoded.blank]
    arrays = [] if encoded is None else [encoded.pieces, encoded.lengths]
    if communicator.rank:
        exchange(communicator, [(0, array) for array in (np.array(numbers, np.int64), *arrays)], [])
        return []
    found = [encoded]
    for rank in range(1, communicator.size):
        numbers = np.empty(5, np.int64)
        exchange(communicator, [], [(rank, numbers)])
        has_chunk, *sizes, cut, blank = map(int, numbers)
        pieces, lengths = np.empty(sizes[0], arrays[0].dtype), np.empty(sizes[1], np.int64)
        if has_chunk:
            exchange(communicator, [], [(rank, pieces), (rank, lengths)])
        found.append(EncodedRows(pieces, lengths, cut, blank))
    return found


def _encoded_chunks(rows, encode):
    """Yield EncodedRows, _Chunk in the order of the text; on a rank that is not 0 nothing"""
    communicator = current()
    chunks = (_Chunk(chunk, rows.end, rows.reader.position // _MEGABYTE) for chunk in rows)
    while group := list(itertools.islice(chunks, communicator.size)):
        own = encode(group[communicator.rank].rows) if communicator.rank < len(group) else None
        yield from zip(_travelled(communicator, own), group, strict=False)


def _write_shards(rows, writer, total):
    """Make all shards behind those of the writer's state; total: bytes of all files, None if unknown"""
    shard, first = writer.new_shard(), rows.reader.position // _MEGABYTE
    done, pieces, start = first, 0, time.perf_counter()
    with progress_bar("prepare", total and max(1, total // _MEGABYTE), first, unit="MB") as bar:
        for encoded, chunk in _encoded_chunks(rows, writer.encode):
            shard.add(encoded)
            pieces += len(encoded.pieces)
            if chunk.megabytes > done:
                rate = f"{pieces / (time.perf_counter() - start):,.0f} word pieces/s"
                bar.update(rate, steps=chunk.megabytes - done)
                done = chunk.megabytes
            if len(shard.pieces) >= SHARD_PIECES:
                writer.add(shard, chunk.end)
                shard = writer.new_shard()
    leader_only()
    blank = shard.blank
    if len(shard.pieces):
        writer.add(shard, rows.end)
        blank = 0
    if not writer.state["shards"]:
        raise ValueError("--text: found no words, expected some")
    writer.finish(rows.end, blank, duplicates=rows.duplicates, empty=rows.reader.empty)


def check_each_rank_can_read(texts):
    """ValueError for standard input with several ranks: only one of them has it."""
    if STANDARD_INPUT in map(str, texts) and current().size > 1:
        raise ValueError(
            f"--text: found standard input with {current().size} ranks, expected files, which each can read"
        )


def prepare(texts, out, tokenizer, preparation=None):
    """Write the shards of `texts` to the folder `out` -> TextShards

    texts: files, folders and "-" (sources.py); tokenizer: WordPieceTokenizer; preparation: Preparation
    The same call goes on after an interruption. ValueError of one line for a text that cannot be read, or if `out` has
    something else or was prepared from other texts.
    """
    preparation, out = preparation or Preparation(), pathlib.Path(out)
    preparation.check()
    sources = find_sources(texts)
    reader = RowReader(sources, preparation.unit, preparation.column, preparation.encoding)
    for source in sources:
        if source.files and out.resolve().is_relative_to(pathlib.Path(path_of(source.name)).resolve()):
            raise ValueError(f"--out: found {out}, inside of the text {source.name}, expected another folder")
    from_input = any(source.name == STANDARD_INPUT for source in sources)
    check_each_rank_can_read(texts)
    with held_by_leader(claimed(out)):
        inputs = _inputs(sources, tokenizer, preparation)
        known = _shared(inputs, lambda: _known_state(out, inputs))
        rows = _Rows(reader, preparation.keep_duplicates)
        if known and known["end"]:
            leader_only()
            (out / UNFINISHED).unlink(missing_ok=True)  # a kill may have left it
            say(f"{out}: it is prepared already; its checksums are right")
            if from_input:  # is it the same text?
                _read_again(rows, known["end"], out)
            return TextShards(out)
        writer = ShardWriter(out, tokenizer, inputs)
        if known and known["shards"]:
            writer.state["shards"] = known["shards"]
            say(f"{out}: going on behind {len(known['shards'])} finished shards")
            _read_again(rows, known["shards"][-1]["end"], out)
        if current().rank == 0:
            writer.start()
        total = None if from_input else sum(source["bytes"] for source in inputs["sources"])
        _write_shards(rows, writer, total)
    return TextShards(out)


def load_vocabulary(path):
    """The vocabulary of a run, a model folder or a vocab.txt -> WordPieceTokenizer"""
    path = pathlib.Path(path)
    expected = f"expected a run, a converted model or a {VOCABULARY}; `make train-tiny` makes a run in runs/tiny"
    if not path.exists():
        raise ValueError(f"{path}: not found, {expected}")
    if path.is_file():
        return WordPieceTokenizer.load(path)
    for folder in (path, path.parent):  # the vocabulary of a stage is that of its run
        if (folder / VOCABULARY).exists():
            return WordPieceTokenizer.load(folder / VOCABULARY)
    raise ValueError(f"{path}: found no {VOCABULARY}, {expected}")


def format_counts(shards):
    """What was read and kept, as text"""
    counts = shards.counts
    lines = [f"{shards.folder}: {shards.rows:,} rows, {shards.pieces:,} word pieces"]
    notes = {
        "duplicates": "rows that occurred before", "blank": "rows without a word piece",
        "empty": "documents without a text", "cut": "rows cut to the longest length",
        "unknown": "pieces that are [UNK]",
    }  # fmt: skip
    lines += [f"{counts[name]:>14,}  {text}" for name, text in notes.items() if counts.get(name)]
    return "\n".join(lines)
