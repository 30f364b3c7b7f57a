"""Prepared text on disk: word pieces in shards, which are memory-mapped, so that a text may be larger than the memory.

    manifest.json       what the shards were made from, and counts and checksums of all of them; it is written last
    vocab.txt           the vocabulary
    00000.pieces.npy    [pieces] uint16 (uint32 with more than 65,536 word pieces): the rows, one behind the other
    00000.rows.npy      [rows + 1] uint32: row i is pieces[rows[i] : rows[i + 1]], without [CLS] and [SEP]
    00001.pieces.npy    ...

Rows are numbered through all shards. A shard is compared with its checksums when it is first used. `unfinished.json`,
in place of the manifest, has the shards that an interrupted `prepare` has finished.
"""

import functools
import hashlib
import json
import os
import pathlib
from typing import NamedTuple

import numpy as np

from ..support.files import sha256_of, write_json
from ..support.npy import read_header
from ..support.regular_files import open_regular
from ..support.shapes import ANY, Integer, OneOf
from ..support.structured_files import read_json
from .shard_batches import ShardBatches
from .wordpiece import WordPieceTokenizer

MANIFEST, UNFINISHED, VOCABULARY = "manifest.json", "unfinished.json", "vocab.txt"
_COUNTED = 2**20  # pieces at a time
MOST_OPEN = 64  # shards that are mapped at the same time
_COUNT = Integer(0, 2**48)
_END = {"read": _COUNT, "text": str}
_SHARD = {"rows": Integer(1, 2**31), "pieces": Integer(1, 2**31), "cut": _COUNT, "blank": _COUNT, "unknown": _COUNT,
          "sha256": [str], "end": _END}  # fmt: skip
_INPUTS = {"vocabulary": str, "sources": [{"name": str, "files": _COUNT, "bytes": _COUNT, "sha256": str}], str: ANY}
_STATE = {"format": OneOf(1), "inputs": _INPUTS, "dtype": OneOf("uint16", "uint32"), "shards": [_SHARD],
          "counts": {str: _COUNT}, "end": (_END, None), "sha256": str}  # fmt: skip
_ROWS_DTYPE = np.dtype("<u4")


class DamagedShards(ValueError):
    """Prepared text is not as `prepare` wrote it."""


def names_of(number):
    """The files of a shard: pieces, rows"""
    return f"{number:05}.pieces.npy", f"{number:05}.rows.npy"


def dtype_of(vocab_size):
    """The smallest type for the ids of a vocabulary -> "uint16" or "uint32" """
    return "uint16" if vocab_size <= 2**16 else "uint32"


def _digest_of(state):
    state = {name: value for name, value in state.items() if name != "sha256"}
    return hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()


def write_state(path, state):
    """Write the state of prepared text, `manifest.json` or `unfinished.json`, with its checksum"""
    write_json(path, {**state, "sha256": _digest_of(state)})


def read_state(path):
    """The state in `manifest.json` or `unfinished.json`. DamagedShards if it was changed."""
    state = read_json(path, _STATE, most=2**30)
    if state["sha256"] != _digest_of(state):
        raise DamagedShards(f"{path}: found a changed file, expected it as `prepare` wrote it; prepare the text again")
    return state


def check_shard(folder, number, record):
    """DamagedShards if a file of the shard was changed; FileNotFoundError if it is missing"""
    for name, sha256 in zip(names_of(number), record["sha256"], strict=True):
        if sha256_of(folder / name) != sha256:
            raise DamagedShards(
                f"{folder / name}: found other contents than when the text was prepared, expected the same; remove the"
                " file, and the same `prepare` command makes it again"
            )


def _mapped(path, dtype, count):
    """The array of a .npy file, memory-mapped. DamagedShards if it is another one."""
    with open_regular(path) as file:
        found, offset, size = read_header(file), file.tell(), os.fstat(file.fileno()).st_size
    if found != (dtype, (count,), False) or size != offset + count * dtype.itemsize:
        raise DamagedShards(f"{path}: found another array, expected {count:,} numbers of type {dtype}")
    return np.memmap(path, dtype, "r", offset=offset, shape=(count,))


class _Shard(NamedTuple):
    pieces: np.ndarray  # [pieces] uint16 or uint32
    rows: np.ndarray  # [rows + 1] uint32


class TextShards:
    """Prepared text, opened for reading.

    tokenizer     its WordPieceTokenizer
    rows, pieces  how many there are
    counts        {name: number} of what was read, cut and left out
    fingerprint   a short hash of the pieces and the vocabulary
    """

    def __init__(self, folder):
        """ValueError of one line if `folder` has no prepared text, or an unfinished or damaged one."""
        self.folder = pathlib.Path(folder)
        if not (self.folder / MANIFEST).exists():
            unfinished = (self.folder / UNFINISHED).exists()
            found = "text whose preparation was interrupted" if unfinished else f"no {MANIFEST}"
            what = "a finished one: give the same `prepare` command again" if unfinished else "prepared text"
            raise ValueError(f"{self.folder}: found {found}, expected {what}")
        self._state = read_state(self.folder / MANIFEST)
        self.tokenizer = WordPieceTokenizer.load(self.folder / VOCABULARY)
        if self.tokenizer.digest != self._state["inputs"]["vocabulary"]:
            raise DamagedShards(f"{self.folder / VOCABULARY}: found other pieces than those of the prepared text")
        self._records, self.counts = self._state["shards"], self._state["counts"]
        if not self._records:
            raise DamagedShards(f"{self.folder / MANIFEST}: found no shard, expected at least one")
        self._stops = np.cumsum([record["rows"] for record in self._records])
        self.rows, self.pieces = int(self._stops[-1]), sum(record["pieces"] for record in self._records)
        content = [self.tokenizer.digest, *(record["sha256"] for record in self._records)]
        self.fingerprint = hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]
        self._checked, self._shard = set(), functools.lru_cache(MOST_OPEN)(self._open)

    def _open(self, number):
        record = self._records[number]
        if number not in self._checked:
            check_shard(self.folder, number, record)
        pieces, rows = (self.folder / name for name in names_of(number))
        shard = _Shard(
            _mapped(pieces, np.dtype(self._state["dtype"]).newbyteorder("<"), record["pieces"]),
            _mapped(rows, _ROWS_DTYPE, record["rows"] + 1),
        )
        if number not in self._checked:
            sound = shard.rows[0] == 0 and shard.rows[-1] == record["pieces"] and (np.diff(shard.rows) > 0).all()
            if not (sound and shard.pieces.max() < self.tokenizer.vocab_size):
                raise DamagedShards(f"{pieces}: found rows or ids that cannot be, expected those of prepared text")
            self._checked.add(number)
        return shard

    def _by_shard(self, rows):
        """Yield shard, indices in `rows`, rows inside of the shard"""
        shards = np.searchsorted(self._stops, rows, side="right")
        for number in np.unique(shards):
            indices = np.flatnonzero(shards == number)
            start = self._stops[number - 1] if number else 0
            yield self._shard(int(number)), indices, rows[indices] - start

    def lengths(self, rows):
        """rows [N] -> [N] int64, their numbers of pieces"""
        lengths = np.empty(len(rows), np.int64)
        for shard, indices, inside in self._by_shard(rows):
            lengths[indices] = shard.rows[inside + 1].astype(np.int64) - shard.rows[inside]
        return lengths

    def texts(self, rows):
        """rows [N] -> list of N arrays of int32, the pieces of each"""
        texts = [None] * len(rows)
        for shard, indices, inside in self._by_shard(rows):
            for index, row in zip(indices, inside, strict=True):
                texts[index] = shard.pieces[shard.rows[row] : shard.rows[row + 1]].astype(np.int32)
        return texts

    def piece_counts(self):
        """How often each piece occurs, in rows with [CLS] and [SEP] around them -> [V] int64"""
        counts = np.zeros(self.tokenizer.vocab_size, np.int64)
        for number in range(len(self._records)):
            pieces = self._shard(number).pieces
            for start in range(0, len(pieces), _COUNTED):
                counts += np.bincount(pieces[start : start + _COUNTED], minlength=len(counts))
        counts[[self.tokenizer.cls_id, self.tokenizer.sep_id]] += self.rows
        return counts

    def batches(self, seed, batch_size, max_length):
        """Endless training batches -> `step -> InputBatch`; see shard_batches.py"""
        return ShardBatches(self, seed, batch_size, max_length)
