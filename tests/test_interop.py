"""Hugging Face checkpoints both ways: what we write transformers loads and computes the same, what they write we load,
and whatever is wrong with a file is said in one line before anything is written."""

import errno
import json
import os
import shutil
import struct
import tracemalloc
from types import SimpleNamespace

import numpy as np
import pytest
from tiny_models import random_parameters

from minimobilebert.cli import main
from minimobilebert.config import preset
from minimobilebert.inference.model import Model
from minimobilebert.model.classification import classification_forward
from minimobilebert.model.heads import masked_word_forward
from minimobilebert.model.pretraining import pretraining_forward
from minimobilebert.model.question_answering import question_answering_forward
from minimobilebert.text.wordpiece import WordPieceTokenizer
from minimobilebert.training.model_folder import load_model, save_model

NEEDS_INTEROP = "needs the extra interop: make setup EXTRAS=interop"
NEEDS_COMPARE = "needs the extra compare: make setup EXTRAS=compare,interop"
safetensors_numpy = pytest.importorskip("safetensors.numpy", reason=NEEDS_INTEROP)

LETTERS = "abcdefghijklmnopqrstuvwxyz"
TOKENIZER = WordPieceTokenizer(
    ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *LETTERS, *("##" + letter for letter in LETTERS)]
)
_SIZES = {
    "vocab_size": TOKENIZER.vocab_size, "hidden_size": 24, "intermediate_size": 20, "num_hidden_layers": 2,
    "num_attention_heads": 4, "max_position_embeddings": 16,
}  # fmt: skip
_MOBILE = preset("mobilebert", **_SIZES, embedding_size=8, intra_bottleneck_size=16)
CONFIGS = {
    "mobilebert": _MOBILE,
    "mobilebert-tiny": _MOBILE.replace(
        key_query_shared_bottleneck=False, bottleneck_attention=True, num_feedforward_networks=2
    ),
    "bert": preset("bert-base", **_SIZES, embedding_size=24, intra_bottleneck_size=24),
}
HEADS = ("pretraining", "masked-words", "classification", "question-answering", None)


def config_for(name, head):
    """transformers builds BERT without a pooler under these two heads, and we then say so in the configuration."""
    without = name == "bert" and head in ("masked-words", "question-answering")
    return CONFIGS[name].replace(classifier_activation=False) if without else CONFIGS[name]


def saved(folder, name="mobilebert", head="pretraining", seed=0, labels=None):
    """A model folder with random weights -> folder, parameters, configuration"""
    config = config_for(name, head)
    params = random_parameters(
        config, np.random.default_rng(seed), head, 3 if head == "classification" else None, np.float32
    )
    save_model(folder, params, config, TOKENIZER, labels)
    return folder, params, config


def exported(folder, *arguments, **options):
    """The same as a Hugging Face folder, in `folder/hf`."""
    saved(folder / "ours", *arguments, **options)
    assert main(["convert", "--from", str(folder / "ours"), "--to-hf", str(folder / "hf")]) == 0
    return folder / "hf"


def read(hf):
    return dict(safetensors_numpy.load_file(hf / "model.safetensors"))


def write(hf, tensors):
    safetensors_numpy.save_file(tensors, hf / "model.safetensors", metadata={"format": "pt"})


def change_config(hf, **changes):
    settings = json.loads((hf / "config.json").read_text())
    (hf / "config.json").write_text(json.dumps({**settings, **changes}))


def refusal(hf, capsys, out=None):
    """Convert; it must fail with one line on stderr, exit code 2, and leave nothing behind -> the line"""
    out = out or hf.parent / "refused"
    capsys.readouterr()
    assert main(["convert", "--from-hf", str(hf), "--to", str(out)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert not out.exists()
    return lines[0]


def random_inputs(config, seed=3):
    rng = np.random.default_rng(seed)
    lengths = np.array([9, 4])
    mask = np.arange(9) < lengths[:, None]
    ids = np.where(mask, rng.integers(5, config.vocab_size, mask.shape), 0).astype(np.int32)
    segments = np.where(mask, np.arange(9) >= 3, 0).astype(np.int32)
    return SimpleNamespace(input_ids=ids, token_type_ids=segments, attention_mask=mask,
                           masked_positions=np.array([1, 3, 10]))  # fmt: skip


def assert_close(ours, theirs):
    """float32 through two layers in another order of summation: a few hundred roundings of 6e-8."""
    theirs = theirs.detach().numpy()
    assert np.abs(ours - theirs).max() <= 2e-5 * np.abs(theirs).max()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("name", CONFIGS)
def test_transformers_loads_what_we_write_and_we_load_what_it_writes(name, head, tmp_path):
    """No missing and no unexpected keys, the same outputs, and the same bits after the way there and back."""
    torch = pytest.importorskip("torch", reason=NEEDS_COMPARE)
    transformers = pytest.importorskip("transformers", reason=NEEDS_COMPARE)
    hf = exported(tmp_path, name, head)
    params, config = load_model(tmp_path / "ours")[:2]
    architecture = json.loads((hf / "config.json").read_text())["architectures"][0]
    model, report = getattr(transformers, architecture).from_pretrained(hf, output_loading_info=True)
    assert not any(report.values()), report
    inputs = random_inputs(config)
    tensors = {key: torch.tensor(np.asarray(getattr(inputs, key), np.int64))
               for key in ("input_ids", "token_type_ids", "attention_mask")}  # fmt: skip
    with torch.no_grad():
        theirs = model.eval()(**tensors)
    if head == "pretraining":
        ours, _ = pretraining_forward(params, config, inputs)
        assert_close(ours.next_sentence_logits, theirs.seq_relationship_logits)
        rows = theirs.prediction_logits.reshape(-1, config.vocab_size)
        assert_close(ours.word_logits, rows[inputs.masked_positions])
    elif head == "masked-words":
        hidden = Model(*load_model(tmp_path / "ours"))
        encoded = _hidden(hidden, inputs)
        assert_close(masked_word_forward(params, config, encoded.reshape(-1, 24))[0],
                     theirs.logits.reshape(-1, config.vocab_size))  # fmt: skip
    elif head == "classification":
        assert_close(classification_forward(params, config, inputs)[0], theirs.logits)
    elif head == "question-answering":
        logits, _ = question_answering_forward(params, config, inputs)
        assert_close(logits[..., 0], theirs.start_logits)
        assert_close(logits[..., 1], theirs.end_logits)
    else:
        assert_close(_hidden(Model(*load_model(tmp_path / "ours")), inputs), theirs.last_hidden_state)

    model.save_pretrained(tmp_path / "theirs")
    TOKENIZER.save(tmp_path / "theirs" / "vocab.txt")
    assert main(["convert", "--from-hf", str(tmp_path / "theirs"), "--to", str(tmp_path / "back")]) == 0
    back = load_model(tmp_path / "back")
    assert (back.config, back.head) == (config, head)
    assert set(back.params) == set(params)
    assert all(np.array_equal(back.params[key], params[key]) for key in params)


def _hidden(model, inputs):
    from minimobilebert.model.encoder import encoder_forward

    output, _ = encoder_forward(
        model.params, model.config, inputs.input_ids, inputs.token_type_ids, inputs.attention_mask
    )
    return output.hidden_states[-1]


@pytest.mark.filterwarnings("ignore")
def test_transformers_tokeniser_cuts_text_as_ours_does(tmp_path):
    transformers = pytest.importorskip("transformers", reason=NEEDS_COMPARE)
    hf = exported(tmp_path)
    theirs = transformers.AutoTokenizer.from_pretrained(hf)
    for text in ("Hello there", "h\u00e9llo \u4e2d z! q-z", "", "a" * 101):
        found = theirs(text, "second")
        ids = [2, *TOKENIZER.encode(text), 3]
        second = [*TOKENIZER.encode("second"), 3]
        assert found["input_ids"] == ids + second
        assert found["token_type_ids"] == [0] * len(ids) + [1] * len(second)


def test_convert_there_and_back_without_transformers(tmp_path):
    """The same bits, head, labels and vocabulary; only the safetensors library is needed."""
    hf = exported(tmp_path, "bert", "classification", labels=["no", "yes", "perhaps"])
    assert main(["convert", "--from-hf", str(hf), "--to", str(tmp_path / "back")]) == 0
    there, back = load_model(tmp_path / "ours"), load_model(tmp_path / "back")
    assert back.labels == there.labels == ["no", "yes", "perhaps"]
    assert back.tokenizer.vocab == TOKENIZER.vocab
    assert (back.config, back.head, back.num_labels) == (there.config, "classification", 3)
    assert all(np.array_equal(back.params[key], there.params[key]) for key in there.params)


@pytest.mark.parametrize("kind", ["float16", "bfloat16", "float64"])
def test_other_precisions_become_float32(tmp_path, kind):
    hf = exported(tmp_path)
    tensors = read(hf)
    if kind == "bfloat16":  # cut the lower half of every number off; NumPy has no such type, so write the bytes
        cut = {name: (array.view(np.uint32) >> 16).astype(np.uint16) for name, array in tensors.items()}
        data, header, end = b"", {"__metadata__": {"format": "pt"}}, 0
        for name, array in cut.items():
            header[name] = {"dtype": "BF16", "shape": list(array.shape), "data_offsets": [end, end + array.nbytes]}
            data, end = data + array.tobytes(), end + array.nbytes
        text = json.dumps(header).encode()
        (hf / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + data)
        expected = {name: (array.astype(np.uint32) << 16).view(np.float32) for name, array in cut.items()}
    else:
        write(hf, {name: array.astype(kind) for name, array in tensors.items()})
        expected = {name: array.astype(kind).astype(np.float32) for name, array in tensors.items()}
    assert main(["convert", "--from-hf", str(hf), "--to", str(tmp_path / "back")]) == 0
    params = load_model(tmp_path / "back").params
    for name, array in params.items():
        assert array.dtype == np.float32
        np.testing.assert_array_equal(array, expected[name])


def shard(hf, parts=3):
    """Split model.safetensors into shards with an index, as large checkpoints come."""
    tensors = read(hf)
    names = sorted(tensors)
    files = {name: f"model-{i % parts + 1:05}-of-{parts:05}.safetensors" for i, name in enumerate(names)}
    for file in set(files.values()):
        safetensors_numpy.save_file({name: tensors[name] for name in names if files[name] == file}, hf / file)
    (hf / "model.safetensors").unlink()
    (hf / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": files}))
    return files


def test_shards_are_one_checkpoint(tmp_path):
    hf = exported(tmp_path)
    shard(hf)
    assert main(["convert", "--from-hf", str(hf), "--to", str(tmp_path / "back")]) == 0
    there, back = load_model(tmp_path / "ours"), load_model(tmp_path / "back")
    assert all(np.array_equal(back.params[key], there.params[key]) for key in there.params)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda hf, files: (hf / sorted(files.values())[0]).unlink(), "model-00001-of-00003.safetensors"),
        (lambda hf, files: _edit_index(hf, lambda m: m.pop(sorted(m)[0])), "found only in the file, expected in both"),
        (lambda hf, files: _edit_index(hf, lambda m: m.update(ghost=sorted(m.values())[0])), "ghost: found only in the index"),
        (lambda hf, files: _edit_index(hf, lambda m: m.update(ghost="../x.safetensors")), "found shard '../x.safetensors'"),
        (lambda hf, files: (hf / "model.safetensors.index.json").write_text("{"), "line 1"),
        (lambda hf, files: (hf / "model.safetensors.index.json").write_text("[]"), "found no readable weight_map"),
    ],
)  # fmt: skip
def test_broken_shards_are_named(tmp_path, capsys, damage, words):
    hf = exported(tmp_path)
    damage(hf, shard(hf))
    assert words in refusal(hf, capsys)


def _edit_index(hf, edit):
    file = hf / "model.safetensors.index.json"
    index = json.loads(file.read_text())
    edit(index["weight_map"])
    file.write_text(json.dumps(index))


def test_old_spellings_prefixless_names_constants_and_second_copies_are_understood(tmp_path, capsys):
    """bert-base-uncased itself says gamma and beta; older files store position_ids and the tied decoder."""
    hf = exported(tmp_path, "bert")
    tensors = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): array
        for name, array in read(hf).items()
    }
    tensors["bert.embeddings.position_ids"] = np.arange(16)[None]
    tensors["cls.predictions.decoder.weight"] = tensors["bert.embeddings.word_embeddings.weight"].copy()
    tensors["cls.predictions.decoder.bias"] = tensors["cls.predictions.bias"].copy()
    write(hf, tensors)
    assert main(["convert", "--from-hf", str(hf), "--to", str(tmp_path / "back")]) == 0
    there, back = load_model(tmp_path / "ours"), load_model(tmp_path / "back")
    assert all(np.array_equal(back.params[key], there.params[key]) for key in there.params)

    tensors["cls.predictions.decoder.weight"] = tensors["cls.predictions.decoder.weight"] + 1.0
    write(hf, tensors)
    assert "cls.predictions.decoder.weight: found other numbers" in refusal(hf, capsys)


def test_a_bottleneck_that_transformers_builds_but_does_not_use_is_left_out(tmp_path, capsys):
    hf = exported(tmp_path, "mobilebert-tiny")
    tensors = read(hf)
    name = "mobilebert.encoder.layer.0.bottleneck.attention.dense.weight"
    write(hf, {**tensors, name: np.zeros((16, 24), np.float32)})
    assert main(["convert", "--from-hf", str(hf), "--to", str(tmp_path / "back")]) == 0
    assert f"left out {name}: queries and keys read the input bottleneck" in capsys.readouterr().err


def test_every_tensor_is_accounted_for(tmp_path, capsys):
    hf = exported(tmp_path)
    tensors = read(hf)
    del tensors["mobilebert.encoder.layer.1.output.dense.bias"]
    tensors["mobilebert.encoder.layer.0.surprise"] = np.zeros(3, np.float32)
    name = "mobilebert.embeddings.LayerNorm.weight"
    tensors[name] = np.ones(7, np.float32)
    write(hf, tensors)
    line = refusal(hf, capsys)
    assert "missing 1: mobilebert.encoder.layer.1.output.dense.bias" in line
    assert "unexpected 1: mobilebert.encoder.layer.0.surprise" in line
    assert f"wrong shape 1: {name} [7] instead of [24]" in line


def _raw(header, data=b"", length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


_ONE = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
MALFORMED = {
    "empty": b"",
    "header cut short": _raw({"a": _ONE}, b"\0" * 8)[:20],
    "header longer than the file": _raw({"a": _ONE}, b"\0" * 8, length=10**6),
    "header of 2^62 bytes": _raw({"a": _ONE}, b"\0" * 8, length=2**62),
    "not JSON": _raw(b"{nonsense", b"\0" * 8),
    "overlapping offsets": _raw({"a": _ONE, "b": {**_ONE, "data_offsets": [4, 12]}}, b"\0" * 12),
    "a gap": _raw({"a": _ONE, "b": {**_ONE, "data_offsets": [16, 24]}}, b"\0" * 24),
    "offsets beyond the end": _raw({"a": {**_ONE, "data_offsets": [0, 8]}}, b"\0" * 4),
    "absurd shape": _raw({"a": {**_ONE, "shape": [2**40, 2**40]}}, b"\0" * 8),
    "shape that does not fit": _raw({"a": {**_ONE, "shape": [3]}}, b"\0" * 8),
    "negative shape": _raw({"a": {**_ONE, "shape": [-2]}}, b"\0" * 8),
    "unknown type": _raw({"a": {**_ONE, "dtype": "F33"}}, b"\0" * 8),
    "a pickle by another name": b"\x80\x02}q\x00." + b"\0" * 30,
}


@pytest.mark.parametrize("kind", MALFORMED)
def test_a_damaged_file_is_one_line_and_costs_no_memory(tmp_path, capsys, kind):
    hf = exported(tmp_path)
    (hf / "model.safetensors").write_bytes(MALFORMED[kind])
    tracemalloc.start()
    line = refusal(hf, capsys)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert "model.safetensors: found a damaged file" in line
    assert peak < 10e6


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_no_numbers_are_refused(tmp_path, capsys, value):
    hf = exported(tmp_path)
    tensors = read(hf)
    name = "mobilebert.encoder.layer.1.output.dense.weight"
    tensors[name][3, 5] = value
    write(hf, tensors)
    assert f"{name}: found {value} at [3, 5], expected finite numbers" in refusal(hf, capsys)


def test_integer_weights_are_refused(tmp_path, capsys):
    hf = exported(tmp_path)
    write(hf, {**read(hf), "cls.predictions.bias": np.zeros(TOKENIZER.vocab_size, np.int32)})
    assert "cls.predictions.bias: found numbers of type I32, expected F32, F16, BF16 or F64" in refusal(hf, capsys)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"hidden_act": "swish"}, "config.json: hidden_act: found 'swish', expected one of relu, gelu"),
        ({"model_type": "roberta"}, "model_type: found 'roberta', expected 'bert' or 'mobilebert'"),
        ({"num_hidden_layers": 10**9}, "num_hidden_layers: found 1000000000, expected a whole number between 1 and 1000"),
        ({"num_hidden_layers": 1}, "num_hidden_layers: found 1, expected 2"),
        ({"num_hidden_layers": "2"}, "num_hidden_layers: found '2', expected a whole number"),
        ({"vocab_size": 10**12}, "vocab_size: found 1000000000000, expected a whole number"),
        ({"num_attention_heads": 3}, "num_attention_heads: found 3, expected a divisor"),
        ({"use_bottleneck": False}, "use_bottleneck: found False, expected true"),
        ({"normalization_type": "batch_norm"}, "normalization_type: found 'batch_norm'"),
        ({"architectures": ["RobertaForMaskedLM"]}, "found 'RobertaForMaskedLM', expected one of MobileBert's"),
        ({"architectures": "MobileBertModel"}, "field architectures: found 'MobileBertModel', expected null or a list"),
        ({"auto_map": {"AutoModel": "own.py"}}, "field auto_map: found an object"),
        ({"quantization_config": {"bits": 4}}, "field quantization_config: found an object"),
        ({"tie_word_embeddings": "false"}, "field tie_word_embeddings: found 'false', expected null or true or false"),
        ({"tie_word_embeddings": False}, "missing 1: cls.predictions.decoder.weight"),
        ({"position_embedding_type": "relative_key"}, "position_embedding_type: found 'relative_key'"),
        ({"use_bottleneck_attention": "yes"}, "bottleneck_attention: found 'yes', expected true or false"),
    ],
)  # fmt: skip
def test_a_configuration_that_does_not_fit_is_one_line(tmp_path, capsys, changes, words):
    hf = exported(tmp_path)
    change_config(hf, **changes)
    assert words in refusal(hf, capsys)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda hf: (hf / "config.json").unlink(), "config.json: found no file"),
        (lambda hf: (hf / "config.json").write_text("{,"), "config.json: line 1"),
        (lambda hf: (hf / "config.json").write_text("[]"), "config.json: found a list, expected an object"),
        (lambda hf: (hf / "model.safetensors").unlink(), "found no model.safetensors and no model.safetensors.index.json"),
        (lambda hf: (hf / "model.safetensors").rename(hf / "pytorch_model.bin"), "reading a pickle can run any program"),
        (lambda hf: (hf / "vocab.txt").write_text("\n".join(TOKENIZER.vocab[:-1])), "vocab.txt: found 56 pieces, expected 57"),
        (lambda hf: (hf / "vocab.txt").write_text("a\nb\n"), "vocab.txt: found no [PAD]"),
        (lambda hf: (hf / "tokenizer_config.json").write_text('{"do_lower_case": false}'), "do_lower_case: found false"),
        (lambda hf: [(hf / name).unlink() for name in ("vocab.txt", "tokenizer.json")], "found no vocab.txt and no tokenizer.json"),
    ],
)  # fmt: skip
def test_a_folder_that_is_not_whole_is_one_line(tmp_path, capsys, damage, words):
    hf = exported(tmp_path)
    damage(hf)
    assert words in refusal(hf, capsys)


def test_tokenizer_json_alone_is_enough(tmp_path):
    """transformers 5 saves no vocab.txt."""
    hf = exported(tmp_path)
    (hf / "vocab.txt").unlink()
    assert main(["convert", "--from-hf", str(hf), "--to", str(tmp_path / "back")]) == 0
    assert load_model(tmp_path / "back").tokenizer.vocab == TOKENIZER.vocab


def test_nothing_is_written_over(tmp_path, capsys):
    hf = exported(tmp_path)
    full = tmp_path / "full"
    full.mkdir()
    (full / "thesis.txt").write_text("all my work")
    for arguments in (
        ["--from-hf", str(hf), "--to", str(full)],
        ["--from", str(tmp_path / "ours"), "--to-hf", str(full)],
    ):
        assert main(["convert", *arguments]) == 2
        assert "found something there already" in capsys.readouterr().err
    assert [path.name for path in full.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("existing", [True, False], ids=["empty folder", "new folder"])
def test_a_folder_appears_whole_or_not_at_all(tmp_path, monkeypatch, capsys, existing):
    """The disk is full at the last file: what was there before is all that is there. Then there is room again."""
    hf = exported(tmp_path)
    before = sorted(path.name for path in tmp_path.iterdir())
    out = tmp_path / "out"
    directions = (["--from-hf", str(hf), "--to", str(out)], ["--from", str(tmp_path / "ours"), "--to-hf", str(out)])

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device", "out")

    for arguments in directions:
        if existing:
            out.mkdir()
        with monkeypatch.context() as patch:
            patch.setattr("minimobilebert.training.model_folder.save_checkpoint", full)
            patch.setattr("minimobilebert.interop.convert.write_json", full)
            assert main(["convert", *arguments]) == 2
        assert capsys.readouterr().err.splitlines() == ["minimobilebert: error: out: No space left on device"]
        assert not out.exists() or not list(out.iterdir())
        assert sorted(path.name for path in tmp_path.iterdir() if path != out) == before
        assert main(["convert", *arguments]) == 0
        assert sorted(path.name for path in tmp_path.iterdir() if path != out) == before
        capsys.readouterr()
        shutil.rmtree(out)


@pytest.mark.parametrize("arguments", [[], ["--from-hf", "a"], ["--from", "a", "--to", "b"],
                                       ["--from-hf", "a", "--to", "b", "--to-hf", "c"]])  # fmt: skip
def test_convert_says_which_options_it_needs(arguments, capsys):
    assert main(["convert", *arguments]) == 2
    assert "expected --from-hf FOLDER --to FOLDER, or --from FOLDER --to-hf FOLDER" in capsys.readouterr().err


def test_a_teacher_cannot_be_exported_and_the_reason_is_given(tmp_path, capsys):
    config = preset("ib-bert-large", **_SIZES, embedding_size=8, intra_bottleneck_size=32)
    params = random_parameters(config, np.random.default_rng(1), "pretraining", dtype=np.float32)
    save_model(tmp_path / "teacher", params, config, TOKENIZER)
    assert main(["convert", "--from", str(tmp_path / "teacher"), "--to-hf", str(tmp_path / "hf")]) == 2
    assert "transformers builds its query and key layers for the narrow width only" in capsys.readouterr().err
    assert not (tmp_path / "hf").exists()


@pytest.mark.filterwarnings("ignore")
def test_transformers_cannot_build_the_teacher():
    """The reason above, shown: with neither bottleneck for queries and keys their layers get inputs of the wrong width."""
    torch = pytest.importorskip("torch", reason=NEEDS_COMPARE)
    transformers = pytest.importorskip("transformers", reason=NEEDS_COMPARE)
    theirs = transformers.MobileBertConfig(
        vocab_size=57, hidden_size=24, embedding_size=8, intra_bottleneck_size=32, intermediate_size=20,
        num_hidden_layers=1, key_query_shared_bottleneck=False, use_bottleneck_attention=False,
        num_feedforward_networks=1, normalization_type="layer_norm",
    )  # fmt: skip
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        transformers.MobileBertModel(theirs)(torch.zeros((1, 3), dtype=torch.long))


# ---- sound checkpoints of other kinds


def converted(hf, out):
    assert main(["convert", "--from-hf", str(hf), "--to", str(out)]) == 0
    return load_model(out)


def _with_transformers(architecture, config, folder):
    """A checkpoint that transformers itself writes, with random weights -> its tensors"""
    torch = pytest.importorskip("torch", reason=NEEDS_COMPARE)
    transformers = pytest.importorskip("transformers", reason=NEEDS_COMPARE)
    torch.manual_seed(3)
    family = architecture.partition("For")[0].removesuffix("Model")
    model = getattr(transformers, architecture)(getattr(transformers, f"{family}Config")(**config))
    model.save_pretrained(folder)
    TOKENIZER.save(folder / "vocab.txt")
    return read(folder)


_THEIRS = {**_SIZES, "num_attention_heads": 4}
_THEIRS_MOBILE = {**_THEIRS, "embedding_size": 8, "intra_bottleneck_size": 16, "num_feedforward_networks": 2}
OTHERS = {  # class: head that is read, what a message says
    "MobileBertForMaskedLM": ("masked-words", ""),
    "MobileBertForQuestionAnswering": ("question-answering", ""),
    "MobileBertForTokenClassification": (None, "left out classifier.weight: of this class only the encoder is read"),
    "MobileBertForMultipleChoice": (None, "left out classifier.bias"),
    "MobileBertForNextSentencePrediction": (None, "left out cls.seq_relationship.weight"),
    "MobileBertForPreTraining": ("pretraining", ""),
    "MobileBertModel": (None, ""),
    "BertForTokenClassification": (None, "found no pooler; the pooled vector is that of [CLS]"),
    "BertForMultipleChoice": (None, "left out classifier.weight"),
    "BertForMaskedLM": ("masked-words", ""),
    "BertModel": (None, ""),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("architecture", OTHERS)
def test_their_classes_with_their_own_defaults_are_read_and_written_back_without_alarm(architecture, tmp_path, capsys):
    head, words = OTHERS[architecture]
    tensors = _with_transformers(
        architecture, _THEIRS_MOBILE if architecture.startswith("Mobile") else _THEIRS, tmp_path / "hf"
    )
    capsys.readouterr()
    saved = converted(tmp_path / "hf", tmp_path / "ours")
    assert saved.head == head and words in capsys.readouterr().err
    for name, array in saved.params.items():
        np.testing.assert_array_equal(array, tensors.get(name, tensors.get(name.partition(".")[2])))
    assert main(["convert", "--from", str(tmp_path / "ours"), "--to-hf", str(tmp_path / "back")]) == 0
    _no_alarm(tmp_path / "back")
    again = converted(tmp_path / "back", tmp_path / "again")
    assert (again.config, again.head, set(again.params)) == (saved.config, saved.head, set(saved.params))
    assert all(np.array_equal(again.params[name], array) for name, array in saved.params.items())


def _no_alarm(hf):
    transformers = pytest.importorskip("transformers", reason=NEEDS_COMPARE)
    architecture = json.loads((hf / "config.json").read_text())["architectures"][0]
    model, report = getattr(transformers, architecture).from_pretrained(hf, output_loading_info=True)
    assert not any(report.values()), report
    return model.eval()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("architecture", ["BertForMaskedLM", "MobileBertForMaskedLM", "MobileBertForPreTraining"])
def test_an_untied_head_scores_words_as_theirs_does(architecture, tmp_path):
    """tie_word_embeddings false: the decoder's own table and bias, there and back."""
    config = {**(_THEIRS_MOBILE if architecture.startswith("Mobile") else _THEIRS), "tie_word_embeddings": False}
    tensors = _with_transformers(architecture, config, tmp_path / "hf")
    if "cls.predictions.decoder.bias" in tensors:
        tensors["cls.predictions.decoder.bias"] = np.linspace(-1, 1, TOKENIZER.vocab_size, dtype=np.float32)
        write(tmp_path / "hf", tensors)
    saved = converted(tmp_path / "hf", tmp_path / "ours")
    assert not saved.config.tie_word_embeddings
    assert not np.array_equal(saved.params["cls.predictions.decoder.weight"],
                              saved.params[f"{saved.config.prefix}.embeddings.word_embeddings.weight"])  # fmt: skip
    assert main(["convert", "--from", str(tmp_path / "ours"), "--to-hf", str(tmp_path / "back")]) == 0
    torch = pytest.importorskip("torch", reason=NEEDS_COMPARE)
    inputs = random_inputs(saved.config)
    given = {key: torch.tensor(np.asarray(getattr(inputs, key), np.int64))
             for key in ("input_ids", "token_type_ids", "attention_mask")}  # fmt: skip
    hidden = _hidden(Model(*saved), inputs).reshape(-1, saved.config.hidden_size)
    ours, _ = masked_word_forward(saved.params, saved.config, hidden)
    for folder in ("hf", "back"):
        with torch.no_grad():
            output = _no_alarm(tmp_path / folder)(**given)
        theirs = output.prediction_logits if hasattr(output, "prediction_logits") else output.logits
        assert_close(ours, theirs.reshape(-1, saved.config.vocab_size))


def test_a_shard_index_may_list_constants(tmp_path):
    """Whether the shards hold them or not; other numbers under such a name are refused."""
    hf = exported(tmp_path, "bert", "masked-words")
    tensors = {**read(hf), "bert.embeddings.position_ids": np.arange(16)[None]}
    tensors["bert.embeddings.token_type_ids"] = np.zeros((1, 16), np.int64)
    write(hf, tensors)
    shard(hf)
    _edit_index(hf, lambda places: places.update({"embeddings.position_ids": sorted(places.values())[0]}))
    _edit_index(hf, lambda places: places.pop("bert.embeddings.token_type_ids"))
    there, back = load_model(tmp_path / "ours"), converted(hf, tmp_path / "back")
    assert all(np.array_equal(back.params[key], there.params[key]) for key in there.params)


def test_other_numbers_under_a_constants_name_are_refused(tmp_path, capsys):
    hf = exported(tmp_path, "bert")
    write(hf, {**read(hf), "bert.embeddings.position_ids": np.arange(16)[None, ::-1].copy()})
    assert "bert.embeddings.position_ids: found other numbers than BERT's" in refusal(hf, capsys)


@pytest.mark.parametrize("head", ["classification", "pretraining"])
def test_a_pooler_that_the_head_needs_must_be_there(head, tmp_path, capsys):
    """transformers would draw a new one, and warn; [CLS] itself would be another model."""
    hf = exported(tmp_path, "bert", head)
    write(hf, {name: array for name, array in read(hf).items() if "pooler" not in name})
    assert "missing 2: bert.pooler.dense.bias, bert.pooler.dense.weight" in refusal(hf, capsys)


def test_a_pooler_above_a_head_that_has_none_is_left_out_aloud(tmp_path, capsys):
    params = random_parameters(CONFIGS["bert"], np.random.default_rng(1), "masked-words", None, np.float32)
    save_model(tmp_path / "ours", params, CONFIGS["bert"], TOKENIZER)
    assert main(["convert", "--from", str(tmp_path / "ours"), "--to-hf", str(tmp_path / "hf")]) == 0
    assert "left out pooler.dense.bias: transformers' class has none" in capsys.readouterr().err
    assert not [name for name in read(tmp_path / "hf") if "pooler" in name]
    assert converted(tmp_path / "hf", tmp_path / "back").head == "masked-words"


def test_a_word_table_padded_to_a_multiple_of_8_keeps_its_rows(tmp_path, capsys):
    hf = exported(tmp_path)
    (hf / "tokenizer.json").unlink()
    lines = (hf / "vocab.txt").read_text().splitlines()
    vocab = WordPieceTokenizer(lines[:-4])  # 53 pieces and a table of 57 rows: no multiple
    vocab.save(hf / "vocab.txt")
    assert "found 53 pieces, expected 57" in refusal(hf, capsys)
    tensors, rows = read(hf), 64
    for name, array in tensors.items():
        for axis in (axis for axis, size in enumerate(array.shape) if size == 57):
            more = [(0, rows - 57 if a == axis else 0) for a in range(array.ndim)]
            tensors[name] = np.pad(array, more, constant_values=0.5)
    write(hf, tensors)
    change_config(hf, vocab_size=rows)
    saved = converted(hf, tmp_path / "padded")
    assert "found 53 pieces for a word table of 64 rows" in capsys.readouterr().err
    assert saved.config.vocab_size == saved.tokenizer.vocab_size == rows
    assert main(["convert", "--from", str(tmp_path / "padded"), "--to-hf", str(tmp_path / "again")]) == 0
    assert all(np.array_equal(array, tensors[name]) for name, array in read(tmp_path / "again").items())


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "vocab.txt", "tokenizer.json"])
def test_a_pointer_of_git_lfs_is_named(name, tmp_path, capsys):
    hf = exported(tmp_path)
    (hf / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 98765\n")
    assert f"{hf / name}: found a Git LFS pointer, expected the file itself" in refusal(hf, capsys)


def test_weights_that_are_a_pipe_or_a_folder_are_named(tmp_path, capsys):
    hf = exported(tmp_path)
    (hf / "model.safetensors").unlink()
    os.mkfifo(hf / "model.safetensors")
    assert "model.safetensors: found a pipe, expected a file" in refusal(hf, capsys)
    (hf / "model.safetensors").unlink()
    (hf / "model.safetensors").mkdir()
    assert "model.safetensors: found a folder, expected a file" in refusal(hf, capsys)
