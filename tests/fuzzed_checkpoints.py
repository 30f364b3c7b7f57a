"""The readers of checkpoints that fuzz_readers.py tries: our own, and the files of a Hugging Face folder."""

import importlib.util
import json
import struct

import numpy as np
from fuzz_readers import Reader

from minimobilebert.interop.hf_config import config_from_hf
from minimobilebert.interop.hf_tokenizer import read_vocabulary, tokenizer_json
from minimobilebert.interop.safetensors_files import read_file, read_tensors
from minimobilebert.support.structured_files import read_json
from minimobilebert.text.wordpiece import SPECIAL_TOKENS, WordPieceTokenizer
from minimobilebert.training.checkpoints import load_checkpoint, save_checkpoint

TOKENIZER = WordPieceTokenizer([*SPECIAL_TOKENS, "a", "b", "##c", "é"])
CONFIG = {"architectures": ["BertForMaskedLM"], "model_type": "bert", "hidden_size": 8, "num_attention_heads": 2,
          "layer_norm_eps": 1e-12, "hidden_act": "gelu", "tie_word_embeddings": True, "pad_token_id": 0}  # fmt: skip
SETTINGS = {"do_lower_case": True, "strip_accents": None, "unk_token": "[UNK]", "tokenizer_class": "BertTokenizer",
            "model_max_length": 512, "added_tokens_decoder": {"0": {"content": "[PAD]", "special": True}}}  # fmt: skip


def _bytes_of(value):
    return json.dumps(value, indent=1).encode()


def _checkpoint(folder):
    arrays = {"w": np.arange(12, dtype=np.float32).reshape(3, 4), "b": np.zeros(0), "n": np.array(7)}
    save_checkpoint(folder / "made.npz", arrays, {"step": 3, "configuration": {"x": 1}})
    content = (folder / "made.npz").read_bytes()
    (folder / "made.npz").unlink()
    return content


def _is_as_it_was(found):
    """A bit of a zip file that nobody reads may be flipped; a number may not."""
    arrays, metadata = found
    assert metadata == {"step": 3, "configuration": {"x": 1}}
    assert set(arrays) == {"w", "b", "n"} and np.array_equal(arrays["w"].ravel(), np.arange(12)) and arrays["n"] == 7


def _safetensors(folder=None):
    header = {"a": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]},
              "b": {"dtype": "F16", "shape": [3], "data_offsets": [16, 22]}}  # fmt: skip
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + np.arange(4, dtype="<f4").tobytes() + np.ones(3, "<f2").tobytes()


def _index(folder):
    (folder / "one.safetensors").write_bytes(_safetensors())
    return _bytes_of({"metadata": {"total_size": 22}, "weight_map": {"a": "one.safetensors", "b": "one.safetensors"}})


def _settings(folder):
    TOKENIZER.save(folder / "vocab.txt")
    return _bytes_of(SETTINGS)


def _vocabulary_of(path):
    return read_vocabulary(path.parent, {}, TOKENIZER.vocab_size)


def _cuts_as_ours(found):
    """Whatever was accepted cuts a telling text as the sound file does, or by other pieces of the same kind."""
    assert found[0].vocab_size == TOKENIZER.vocab_size and all(piece == piece.lower() for piece in found[0].vocab[5:])


READERS = [
    Reader("checkpoint", "checkpoint-final.npz", _checkpoint, load_checkpoint, _is_as_it_was),
    Reader("config.json", "config.json", lambda folder: _bytes_of(CONFIG), lambda path: config_from_hf(read_json(path), path)),
    Reader("vocab.txt", "vocab.txt", lambda folder: "".join(f"{p}\n" for p in TOKENIZER.vocab).encode(), WordPieceTokenizer.load),
    Reader("tokenizer.json", "tokenizer.json", lambda folder: _bytes_of(tokenizer_json(TOKENIZER)), _vocabulary_of),
    Reader("tokenizer_config.json", "tokenizer_config.json", _settings, _vocabulary_of, _cuts_as_ours),
]  # fmt: skip
if importlib.util.find_spec("safetensors"):  # the extra interop
    READERS += [
        Reader("safetensors", "model.safetensors", _safetensors, read_file),
        Reader("shard index", "model.safetensors.index.json", _index, lambda path: read_tensors(path.parent), names_folder=True),
    ]  # fmt: skip
