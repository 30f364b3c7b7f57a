"""Tensors in .safetensors files: one file, or several shards with an index.

The `safetensors` library checks the header (length, offsets, overlaps, shapes) before it reads tensors, so a damaged
file needs no memory. We never open pickle files, because unpickling can execute arbitrary code.
"""

import pathlib

import numpy as np

from ..support.extras import require
from ..support.files import replacing
from ..support.git_lfs import check_no_pointer
from ..support.regular_files import open_regular
from ..support.shapes import ANY, ShapeError, shown
from ..support.structured_files import read_json

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.ckpt.*", "*.pkl", "*.h5", "*.msgpack")
# Constants that older files store like weights, and functions that compute their values for N tokens.
_BUFFERS = {"position_ids": np.arange, "token_type_ids": np.zeros}
_WIDENED = {"F16": np.float16, "F32": np.float32, "F64": np.float64}


class InteropError(ValueError):
    """A checkpoint cannot be imported, or a model cannot be exported. The message is one line."""


def bfloat16_to_float32(data):
    """Bytes of little-endian bfloat16 numbers -> float32 [N]. A bfloat16 is the upper half of a float32."""
    return (np.frombuffer(data, "<u2").astype(np.uint32) << 16).view(np.float32)


def _damaged(path, error):
    return InteropError(f"{path}: found a damaged file ({error}), expected safetensors")


def _read_brain_floats(path, names):
    """Read the bfloat16 tensors of a file. NumPy has no such dtype."""
    whole = dict(require("safetensors", "interop").deserialize(path.read_bytes()))
    return {name: bfloat16_to_float32(bytes(whole[name]["data"])).reshape(whole[name]["shape"]) for name in names}


def _buffer(name):
    """The function that computes the constant with this name, or None"""
    return _BUFFERS.get(name.rpartition(".")[2])


def _check_buffer(name, array, path):
    if not np.array_equal(array, np.broadcast_to(_buffer(name)(array.shape[-1] if array.ndim else 0), array.shape)):
        raise InteropError(f"{path}: {name}: found other numbers than BERT's, expected a constant")


def read_file(path):
    """Read one file -> {name: float32 array}, without constants; other dtypes are converted to float32.

    InteropError with the file and the tensor.
    """
    path, safetensors = pathlib.Path(path), require("safetensors", "interop")
    open_regular(path).close()  # a pipe would hang
    tensors, brain_floats = {}, []
    try:
        with safetensors.safe_open(str(path), framework="np") as file:
            for name in file.keys():
                dtype = file.get_slice(name).get_dtype()
                if _buffer(name):
                    if dtype != "BF16":
                        _check_buffer(name, file.get_tensor(name), path)
                elif dtype == "BF16":
                    brain_floats.append(name)
                elif dtype in _WIDENED:
                    tensors[name] = file.get_tensor(name)
                else:
                    raise InteropError(f"{path}: {name}: found numbers of type {dtype}, expected F32, F16, BF16 or F64")
        tensors |= _read_brain_floats(path, brain_floats) if brain_floats else {}
    except (safetensors.SafetensorError, OSError, MemoryError) as error:
        raise _damaged(path, error) from None
    for name, array in tensors.items():
        with np.errstate(over="ignore"):  # a float64 beyond float32 becomes infinite and is reported as such
            array = array.astype(np.float32)
        if not np.isfinite(array).all():
            index = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
            raise InteropError(f"{path}: {name}: found {array[index]} at {list(index)}, expected finite numbers")
        tensors[name] = array
    return tensors


def _read_shards(index):
    try:
        file_of = read_json(index, {"weight_map": {str: str}, str: ANY})["weight_map"]
    except ShapeError as error:
        raise InteropError(f"{error}; found no readable weight_map, expected {{tensor: file}}") from None
    file_of = {name: file for name, file in file_of.items() if not _buffer(name)}
    files = sorted(set(file_of.values()))
    tensors = {}
    for file in files:
        if pathlib.PurePath(file).name != file or len(file) > 200:
            raise InteropError(f"{index}: found shard {shown(file)}, expected the name of a file in the same folder")
        shard = read_file(index.parent / file)
        expected = {name for name, owner in file_of.items() if owner == file}
        if set(shard) != expected:
            name = sorted(set(shard) ^ expected)[0]
            found = "only in the file" if name in shard else "only in the index"
            raise InteropError(f"{index.parent / file}: {name}: found {found}, expected in both")
        tensors |= shard
    return tensors


def read_tensors(folder):
    """Read all tensors of a checkpoint folder -> {name: float32 array}. InteropError if it has no safetensors."""
    folder = pathlib.Path(folder)
    if not folder.is_dir():
        raise InteropError(
            f"{folder}: found no folder, expected one with config.json and {SINGLE}; nothing is downloaded"
        )
    for path in sorted(folder.iterdir()):
        check_no_pointer(path)
    if (folder / SINGLE).exists():
        return read_file(folder / SINGLE)
    if (folder / INDEX).exists():
        return _read_shards(folder / INDEX)
    pickles = sorted(path.name for pattern in _PICKLES for path in folder.glob(pattern))
    if pickles:
        raise InteropError(
            f"{folder / pickles[0]}: found weights that only unpickling or another framework can read, expected"
            f" {SINGLE}: reading a pickle can run any program, so this project never does"
        )
    raise InteropError(f"{folder}: found no {SINGLE} and no {INDEX}, expected one of them")


def write_tensors(folder, tensors):
    """Write {name: array} as `folder/model.safetensors`."""
    save = require("safetensors.numpy", "interop").save
    data = save({name: np.ascontiguousarray(array) for name, array in tensors.items()}, metadata={"format": "pt"})
    with replacing(pathlib.Path(folder) / SINGLE) as file:
        file.write(data)
