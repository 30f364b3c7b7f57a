"""Write prepared text: shards.py describes the files."""

import array
from typing import NamedTuple

import numpy as np

from ..support.files import replacing, sha256_of
from .shards import MANIFEST, UNFINISHED, VOCABULARY, dtype_of, names_of, write_state

COUNTS = ("rows", "pieces", "cut", "blank", "unknown")  # of a shard


class EncodedRows(NamedTuple):
    """Some rows as word pieces."""

    pieces: np.ndarray  # [pieces] uint16 or uint32, one row behind the other
    lengths: np.ndarray  # [rows] int64
    cut: int
    blank: int


def encode_rows(rows, tokenizer, most_pieces):
    """list of str -> EncodedRows, without the blank ones; most_pieces: of a row"""
    dtype = dtype_of(tokenizer.vocab_size)
    pieces, lengths, cut, blank = array.array("H" if dtype == "uint16" else "I"), [], 0, 0
    for row in rows:
        ids = tokenizer.encode(row)
        if not ids:
            blank += 1
            continue
        if len(ids) > most_pieces:
            cut += 1
            ids = ids[:most_pieces]
        pieces.extend(ids)
        lengths.append(len(ids))
    return EncodedRows(np.array(pieces, dtype), np.array(lengths, np.int64), cut, blank)


class NewShard:
    """The shard that is being filled."""

    def __init__(self, tokenizer, dtype):
        self._tokenizer, self._dtype = tokenizer, np.dtype(dtype).newbyteorder("<")
        self.pieces, self.stops = array.array("H" if dtype == "uint16" else "I"), [0]
        self.cut = self.blank = 0

    def add(self, encoded):
        """Add EncodedRows behind the others"""
        self.stops.extend((len(self.pieces) + np.cumsum(encoded.lengths)).tolist())
        self.pieces.frombytes(encoded.pieces.tobytes())
        self.cut += encoded.cut
        self.blank += encoded.blank

    def write(self, folder, number):
        """Write both files -> its record, without `end`"""
        pieces = np.frombuffer(self.pieces, self.pieces.typecode).astype(self._dtype, copy=False)
        arrays = (pieces, np.array(self.stops, "<u4"))
        for name, values in zip(names_of(number), arrays, strict=True):
            with replacing(folder / name) as file:
                np.save(file, values)
        return {
            "rows": len(self.stops) - 1, "pieces": len(pieces), "cut": self.cut, "blank": self.blank,
            "unknown": int(np.count_nonzero(pieces == self._tokenizer.unk_id)),
            "sha256": [sha256_of(folder / name) for name in names_of(number)],
        }  # fmt: skip


class ShardWriter:
    """Writes shards, and after each of them the state of the work."""

    def __init__(self, out, tokenizer, inputs):
        self.out, self.tokenizer = out, tokenizer
        self.state = {
            "format": 1, "inputs": inputs, "dtype": dtype_of(tokenizer.vocab_size), "shards": [], "counts": {},
            "end": None,
        }  # fmt: skip

    def start(self):
        write_state(self.out / UNFINISHED, self.state)
        self.tokenizer.save(self.out / VOCABULARY)
        (self.out / MANIFEST).unlink(missing_ok=True)

    def new_shard(self):
        return NewShard(self.tokenizer, self.state["dtype"])

    def encode(self, rows):
        """list of str -> EncodedRows"""
        return encode_rows(rows, self.tokenizer, self.state["inputs"]["max_length"] - 2)

    def add(self, shard, end):
        """Write a shard; end: how far the text is read, {"read": rows, "text": their hash}"""
        record = shard.write(self.out, len(self.state["shards"]))
        self.state["shards"].append({**record, "end": end})
        write_state(self.out / UNFINISHED, self.state)

    def finish(self, end, blank, **others):
        """Write the manifest; blank: rows without a piece behind the last shard; others: counts of what was left out"""
        totals = {name: sum(shard[name] for shard in self.state["shards"]) for name in COUNTS}
        totals["blank"] += blank
        self.state["counts"], self.state["end"] = {**totals, **others}, end
        write_state(self.out / MANIFEST, self.state)
        (self.out / UNFINISHED).unlink(missing_ok=True)
