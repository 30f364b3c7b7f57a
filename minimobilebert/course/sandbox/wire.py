"""Serialise values between the grader and the process that runs a student's code, without pickle.

    structure, arrays = flatten(value)        structure is JSON, arrays is a list of NumPy arrays
    value = unflatten(structure, arrays)

Supported are numbers, texts, lists, tuples, sets, dicts, arrays (the order of their axes in memory is kept, and that
there are gaps, but not how large they are), NumPy scalars, named tuples, dataclasses, random generators (by seed) and
functions (which the other side can call back). A named tuple FROM the student's process becomes a `Record` with a name
and fields: the grader never imports a class that the student names.
"""

import dataclasses
import importlib
import json
import math
import re
import struct

import numpy as np

_HEAD = struct.Struct("<QQ")
_KINDS = "biufcSU"
_DTYPE = re.compile(f"[<>|=][{_KINDS}][0-9]{{1,13}}")  # no objects, no structures
PLAIN = (bool, int, float, str, type(None))
MOST_BYTES, MOST_HEADER = 64 * 2**20, 4 * 2**20  # correct answers have at most 1 MB of arrays and 10 KB of JSON


class WireError(ValueError):
    """A value cannot be serialised, or a message is damaged."""


class Record:
    """A named tuple or dataclass of the other side, with attributes, `_fields`, and iteration in order."""

    def __init__(self, kind, fields):
        self._kind, self._fields = kind, tuple(fields)
        self.__dict__.update(fields)

    def __iter__(self):
        return iter([self.__dict__[name] for name in self._fields])

    def __len__(self):
        return len(self._fields)

    def __getitem__(self, index):
        return list(self)[index]

    def __repr__(self):
        return f"{self._kind.rpartition(':')[2]}({', '.join(self._fields)})"


class Seeded:
    """Represents numpy.random.default_rng(seed); each use makes a new generator."""

    def __init__(self, seed):
        self.seed = seed


def fields_of(value):
    """{name: value} of a Record, named tuple or dataclass; None for anything else"""
    if isinstance(value, Record) or (isinstance(value, tuple) and hasattr(value, "_fields")):
        return {name: getattr(value, name) for name in value._fields}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return None


def kind_of(value):
    """`module:Class` of a Record, named tuple or dataclass"""
    return value._kind if isinstance(value, Record) else f"{type(value).__module__}:{type(value).__qualname__}"


def flatten(value, known=(), functions=None):
    """value -> (structure, arrays)

    known: arrays that the reader already has, in this order; functions: a list to which callable values are appended
    """
    arrays = []

    def walk(value):
        if isinstance(value, np.generic):
            arrays.append(np.asarray(value))
            return {"scalar": len(arrays) - 1}
        if isinstance(value, PLAIN):
            return value
        if isinstance(value, np.ndarray):
            if value.dtype.kind not in _KINDS:
                raise WireError(f"found an array of {value.dtype}, expected numbers or texts")
            for i, other in enumerate(known):
                if isinstance(other, np.ndarray) and _same_memory(value, other):
                    return {"known": i}
            arrays.append(value)
            return {"array": len(arrays) - 1}
        if (fields := fields_of(value)) is not None:
            return {"record": kind_of(value), "fields": [[name, walk(part)] for name, part in fields.items()]}
        if isinstance(value, (list, tuple, set, frozenset)):
            parts = sorted(value, key=repr) if isinstance(value, (set, frozenset)) else value
            return {type(value).__name__: [walk(part) for part in parts]}
        if isinstance(value, dict):
            return {"dict": [[walk(key), walk(part)] for key, part in value.items()]}
        if isinstance(value, Seeded):
            return {"seed": value.seed}
        if callable(value) and functions is not None:
            functions.append(value)
            return {"function": len(functions) - 1}
        raise WireError(f"found {type(value).__name__}, expected numbers, texts, arrays, lists, dicts or named tuples")

    return walk(value), arrays


def _same_memory(a, b):
    return a is b or (a.size > 0 and a.dtype == b.dtype and a.__array_interface__ == b.__array_interface__)


def unflatten(structure, arrays, known=(), call_back=None, with_classes=False):
    """The reverse of `flatten`. With `with_classes`, records become classes of this package again."""

    def walk(node):
        if isinstance(node, PLAIN):
            return node
        if not isinstance(node, dict) or not node:
            raise WireError(f"found {type(node).__name__}, expected a value")
        tag, part = next(iter(node.items()))
        if tag == "array":
            return arrays[part]
        if tag == "scalar":
            return arrays[part][()]
        if tag == "known":
            return known[part]
        if tag == "record":
            return _record(part, {name: walk(value) for name, value in node["fields"]}, with_classes)
        if tag in ("list", "tuple", "set", "frozenset"):
            return {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset}[tag](map(walk, part))
        if tag == "dict":
            return {walk(key): walk(value) for key, value in part}
        if tag == "seed" and call_back is not None:
            return np.random.default_rng(part)
        if tag == "function" and call_back is not None:
            return call_back(part)
        raise WireError(f"found {tag!r}, expected a value")

    try:
        return walk(structure)
    except WireError:
        raise
    except (LookupError, TypeError, ValueError, RecursionError) as error:
        raise WireError(f"found a damaged value ({type(error).__name__})") from None


def _record(kind, fields, with_classes):
    if not with_classes:
        if not isinstance(kind, str) or not all(isinstance(n, str) and not n.startswith("_") for n in fields):
            raise WireError("found a damaged named tuple")
        return Record(kind, fields)
    module, _, name = kind.partition(":")
    if module.partition(".")[0] != "minimobilebert":
        raise WireError(f"found a class of {module}, expected one of minimobilebert")
    return getattr(importlib.import_module(module), name)(**fields)


def _layout(array):
    """The memory layout: the order of the axes, the reversed axes, whether elements are not adjacent; None: C order"""
    if array.flags.c_contiguous:
        return None
    order = sorted(range(array.ndim), key=lambda axis: -abs(array.strides[axis]))
    backwards = [axis for axis in range(array.ndim) if array.strides[axis] < 0]
    forwards = np.flip(array, backwards).transpose(order)
    return [order, backwards, not forwards.flags.c_contiguous]


def _laid_out(array, layout):
    if layout is None:
        return array
    order, backwards, is_strided = layout
    packed = np.ascontiguousarray(np.flip(array, backwards).transpose(order))
    if is_strided:
        wide = np.full((*packed.shape[:-1], 2 * packed.shape[-1]), -77, packed.dtype)
        wide[..., ::2] = packed
        packed = wide[..., ::2]
    return np.flip(packed.transpose(np.argsort(order)), backwards)


def to_bytes(structure, arrays):
    """The bytes of one message."""
    pieces, described = [], []
    for array in arrays:
        pieces.append(np.ascontiguousarray(array).tobytes())
        described.append([array.dtype.str, list(array.shape), _layout(array)])
    header = json.dumps([structure, described]).encode()
    body = b"".join(pieces)
    return _HEAD.pack(len(header), len(body)) + header + body


def read_message(read):
    """Read a message -> structure, arrays. read(n) returns n bytes. EOFError at the end, WireError for damage."""
    header_size, body_size = _HEAD.unpack(read(_HEAD.size))
    if header_size > MOST_HEADER:  # parsed JSON needs ten times as much memory
        raise WireError(f"found an answer of {header_size} bytes besides its arrays, expected at most {MOST_HEADER}")
    if header_size + body_size > MOST_BYTES:
        raise WireError(f"found a message of {header_size + body_size} bytes, expected at most {MOST_BYTES}")
    header, body = read(header_size), read(body_size)
    try:
        structure, described = json.loads(header)
        arrays, offset = [], 0
        for dtype_name, shape, layout in described:
            if not isinstance(dtype_name, str) or not _DTYPE.fullmatch(dtype_name):
                raise WireError(f"found an array of {str(dtype_name)[:40]}, expected numbers or texts")
            dtype = np.dtype(dtype_name)
            if not isinstance(shape, list) or not all(type(n) is int and n >= 0 for n in shape):
                raise WireError("found an array of no shape")
            count = math.prod(shape)
            if offset + count * dtype.itemsize > len(body):
                raise WireError("found an array that is larger than its message")
            array = np.frombuffer(body, dtype, count, offset).reshape(shape).copy()
            arrays.append(_laid_out(array, layout))
            offset += count * dtype.itemsize
    except (ValueError, TypeError, LookupError, RecursionError, OverflowError, MemoryError) as error:
        raise WireError(f"found a damaged message ({type(error).__name__}: {error})") from None
    return structure, arrays
