"""Checkpoints of our own that cannot be trusted: what a header claims is held against the file before memory is taken, NaN
is not loaded, and a vocabulary that is not the model's is named."""

import io
import os
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest
from fine_tuning_data import MOBILE, write_model

from minimobilebert.cli import main
from minimobilebert.support.npz import DamagedFile, read_npz
from minimobilebert.text.wordpiece import SPECIAL_TOKENS, WordPieceTokenizer
from minimobilebert.training.checkpoints import CheckpointError, _checksum, load_checkpoint, save_checkpoint

PLAIN = {"descr": "<f4", "fortran_order": False, "shape": (2,)}


def npy(header, data=b"\0" * 8, version=(1, 0)):
    text = (header if isinstance(header, str) else repr(header)[:-1] + ", }").encode()  # as NumPy writes it
    return b"\x93NUMPY" + bytes(version) + struct.pack("<H" if version == (1, 0) else "<I", len(text)) + text + data


def zipped(members, compression=zipfile.ZIP_STORED):
    """[(name, bytes)] -> the bytes of a zip file"""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return file.getvalue()


def _patched(field, value, size=2):
    """A sound file with one field of its central directory changed: offsets in the entry's 46 bytes."""
    content = bytearray(zipped([("a.npy", npy(PLAIN))]))
    at = content.index(b"PK\x01\x02") + field
    content[at : at + size] = value.to_bytes(size, "little")
    return bytes(content)


def _encrypted():
    content = bytearray(_patched(8, 1))
    content[6] |= 1  # in the local header too
    return bytes(content)


NPZ = {
    "empty": b"",
    "text": b"no zip file at all",
    "compressed": zipped([("a.npy", npy({**PLAIN, "shape": (250_000,)}, b"\0" * 10**6))], zipfile.ZIP_DEFLATED),
    "lzma": zipped([("a.npy", npy(PLAIN))], zipfile.ZIP_LZMA),
    "encrypted": _encrypted(),
    "unknown compression": _patched(10, 77),
    "a member of 4 GB": _patched(24, 2**32 - 2, 4),
    "a member of 4 GB, twice": _patched(20, (2**32 - 2) << 32 | (2**32 - 2), 8),
    "another checksum": _patched(16, 12345, 4),
    "a terabyte": zipped([("a.npy", npy({**PLAIN, "shape": (2**40,)}))]),
    "a terabyte of nothing": zipped([("a.npy", npy({**PLAIN, "shape": (2**40, 0)}))]),
    "more than 64 bits": zipped([("a.npy", npy({**PLAIN, "shape": (2**40, 2**40)}))]),
    "4 billion by -1": zipped([("a.npy", npy({**PLAIN, "shape": (-1, -2)}))]),
    "too few numbers": zipped([("a.npy", npy({**PLAIN, "shape": (3,)}))]),
    "too many numbers": zipped([("a.npy", npy({**PLAIN, "shape": (1,)}))]),
    "objects": zipped([("a.npy", npy({**PLAIN, "descr": "|O"}))]),
    "a terabyte a number": zipped([("a.npy", npy({**PLAIN, "descr": "<U400000000"}))]),
    "text as numbers": zipped([("a.npy", npy({**PLAIN, "descr": "<U1"}))]),
    "dates": zipped([("a.npy", npy({**PLAIN, "descr": "<M8[s]"}))]),
    "a record": zipped([("a.npy", npy({**PLAIN, "descr": [("x", "<f4")]}))]),
    "no such type": zipped([("a.npy", npy({**PLAIN, "descr": "<q9"}))]),
    "not a dict": zipped([("a.npy", npy("[1, 2]"))]),
    "brackets": zipped([("a.npy", npy("(" * 5000))]),
    "minus signs": zipped([("a.npy", npy("-" * 9000 + "1"))]),
    "a long header": zipped([("a.npy", npy(repr(PLAIN) + " " * 50_000))]),
    "a header of 4 GB": zipped([("a.npy", b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**32 - 1))]),
    "version 9": zipped([("a.npy", npy(PLAIN, version=(9, 0)))]),
    "no .npy": zipped([("a.npy", b"\x80\x04K\x01.")]),
    "one name twice": zipped([("a.npy", npy(PLAIN)), ("b.npy", npy(PLAIN))]).replace(b"b.npy", b"a.npy"),
    "cut": zipped([("a.npy", npy(PLAIN))])[:-30],
}  # fmt: skip


@pytest.mark.parametrize("name", NPZ)
def test_what_a_file_claims_takes_no_memory(name, tmp_path):
    path = tmp_path / "checkpoint.npz"
    path.write_bytes(NPZ[name])
    tracemalloc.start()
    try:
        with pytest.raises(DamagedFile) as error:
            read_npz(path)
        assert tracemalloc.get_traced_memory()[1] < 3_000_000
    finally:
        tracemalloc.stop()
    assert "\n" not in str(error.value) and len(str(error.value)) < 300
    (tmp_path / "sound.npz").write_bytes(zipped([("a.npy", npy(PLAIN))]))
    assert read_npz(tmp_path / "sound.npz")["a"].tolist() == [0.0, 0.0]  # so that what is refused is what was changed
    with pytest.raises(CheckpointError, match=r"checkpoint.npz: found a damaged file \(.*\), expected a checkpoint"):
        load_checkpoint(path)


def test_sound_files_come_back_as_numpy_reads_them(tmp_path):
    rng = np.random.default_rng(1)
    arrays = {"c": rng.normal(size=(3, 4)), "f": np.asfortranarray(rng.normal(size=(3, 4)).astype(np.float32)),
              "n": np.array(7), "empty": np.zeros((0, 5), np.int32), "flags": np.array([True, False]),
              "large": rng.integers(0, 255, 2**22 + 11).astype(np.uint8)}  # fmt: skip
    np.savez(tmp_path / "a.npz", **arrays)
    found = read_npz(tmp_path / "a.npz")
    assert set(found) == set(arrays)
    for name, array in arrays.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape) and found[name].flags.writeable
        np.testing.assert_array_equal(found[name], array)


def test_a_pipe_and_a_pointer_are_named(tmp_path):
    os.mkfifo(tmp_path / "pipe.npz")
    with pytest.raises(ValueError, match="pipe.npz: found a pipe, expected a file"):
        load_checkpoint(tmp_path / "pipe.npz")
    (tmp_path / "c.npz").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 98765\n")
    with pytest.raises(ValueError, match="c.npz: found a Git LFS pointer, expected the file itself"):
        load_checkpoint(tmp_path / "c.npz")


# ---- a model folder


@pytest.fixture
def folder(tmp_path):
    write_model(tmp_path / "model", MOBILE)
    return tmp_path / "model"


def refusal(folder, capsys):
    assert main(["embed", "a", "b", "--model", str(folder)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    return lines[0]


def change(folder, edit):
    """`edit(arrays, configuration)`, under a right checksum"""
    path = folder / "checkpoint-final.npz"
    arrays, metadata = load_checkpoint(path)
    edit(arrays, metadata["configuration"])
    save_checkpoint(path, arrays, metadata)


def _nan(arrays, configuration, value=np.nan):
    arrays["mobilebert.embeddings.word_embeddings.weight"][3, 2] = value


EDITS = {
    "NaN": (_nan, "word_embeddings.weight: found nan at [3, 2], expected finite numbers"),
    "infinity": (lambda a, c: _nan(a, c, -np.inf), "found -inf at [3, 2]"),
    "a million feed-forwards": (lambda a, c: c["model"].update(num_feedforward_networks=10**6), "num_feedforward_networks: found 1000000"),
    "ten million layers": (lambda a, c: c["model"].update(num_hidden_layers=10**7), "num_hidden_layers: found 10000000"),
    "a thousand layers": (lambda a, c: c["model"].update(num_hidden_layers=1000), "parameters that do not fit"),
    "layer_norm_eps": (lambda a, c: c["model"].update(layer_norm_eps=-1.0), "layer_norm_eps: found -1.0"),
    "400 digits": (lambda a, c: c["model"].update(layer_norm_eps=10**400), "number of more than 100 digits"),
    "whole numbers": (lambda a, c: a.update({n: v.astype(np.int32) for n, v in a.items()}), "parameters of type int32"),
    "mixed types": (lambda a, c: a.update({next(iter(a)): next(iter(a.values())).astype(np.float64)}), "type float32, float64"),
    "model a list": (lambda a, c: c.update(model=[1]), "field model: found a list, expected an object"),
    "model missing": (lambda a, c: c.pop("model"), "found no 'model'"),
    "no digest": (lambda a, c: c.pop("vocabulary"), "found no 'vocabulary'"),
    "another digest": (lambda a, c: c.update(vocabulary="0" * 16), "found other pieces"),
    "labels a number": (lambda a, c: c.update(labels=3), "field labels: found 3"),
    "labels without classes": (lambda a, c: c.update(labels=["a"]), "found 1 names of classes, expected None"),
    "half a head": (lambda a, c: a.update({"classifier.weight": np.zeros((), np.float32)}), "parameters that do not fit"),
}  # fmt: skip


@pytest.mark.parametrize("name", EDITS)
def test_a_checkpoint_with_a_right_checksum_and_wrong_contents(name, folder, capsys):
    edit, words = EDITS[name]
    change(folder, edit)
    assert words in refusal(folder, capsys)


VOCABULARIES = {
    "two lines swapped": lambda lines: [*lines[:-2], lines[-1], lines[-2]],
    "one piece another": lambda lines: [*lines[:-1], lines[-1] + "x"],
    "a special token moved": lambda lines: [lines[1], lines[0], *lines[2:]],
    "rotated": lambda lines: [*lines[1:], lines[0]],
}


@pytest.mark.parametrize("name", VOCABULARIES)
def test_another_vocabulary_of_the_same_size_is_refused(name, folder, capsys):
    file = folder / "vocab.txt"
    lines = file.read_text().splitlines()
    file.write_text("\n".join(VOCABULARIES[name](lines)) + "\n")
    line = refusal(folder, capsys)
    assert f"{file}: found other pieces (digest " in line and "expected those that the model was made with" in line


def test_a_digest_is_of_the_pieces_in_their_order():
    first, second = ([*SPECIAL_TOKENS, *more] for more in (("a", "b"), ("b", "a")))
    assert WordPieceTokenizer(first).digest == WordPieceTokenizer(list(first)).digest
    assert WordPieceTokenizer(first).digest != WordPieceTokenizer(second).digest
    assert (
        WordPieceTokenizer([*SPECIAL_TOKENS, "ab", "c"]).digest
        != WordPieceTokenizer([*SPECIAL_TOKENS, "a", "bc"]).digest
    )


def test_metadata_that_is_no_json(tmp_path):
    for metadata in ("{", "[1]", '{"step": -1, "configuration": {}}', '{"configuration": 3}', '{"step": 1}'):
        entries = {"w": np.zeros(2), "__metadata__": np.frombuffer(metadata.encode(), np.uint8)}
        np.savez(tmp_path / "c.npz", **entries, __sha256__=_checksum(entries))
        with pytest.raises(CheckpointError, match="c.npz: ") as error:
            load_checkpoint(tmp_path / "c.npz")
        assert "\n" not in str(error.value)
