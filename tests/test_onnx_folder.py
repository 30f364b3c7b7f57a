"""The command `export`: the files of a folder, what it prints, and what it refuses with one line and no file."""

import json
import sys

import numpy as np
import pytest
from fine_tuning_data import BERT, MOBILE
from onnx_models import HEADS, NEEDS_ONNX, TOKENIZER, parameters_of, write_model

from minimobilebert.cli import main
from minimobilebert.interop.convert import read_hf
from minimobilebert.interop.hf_config import config_from_hf, head_from_hf
from minimobilebert.interop.onnx import comparison, folder
from minimobilebert.interop.onnx.encoder import encoder
from minimobilebert.interop.onnx.heads import check_head
from minimobilebert.model.parameters import HEADS as ALL_HEADS
from minimobilebert.model.sentence_settings import SentenceSettings
from minimobilebert.training.model_folder import load_model, save_model

onnx = pytest.importorskip("onnx", reason=NEEDS_ONNX)

MODEL = BERT.replace(vocab_size=TOKENIZER.vocab_size)
NARROW = MOBILE.replace(vocab_size=TOKENIZER.vocab_size)
FLOAT, QUANTIZED = "onnx/model.onnx", "onnx/model_quantized.onnx"
ALWAYS = {"config.json", "special_tokens_map.json", "tokenizer.json", "tokenizer_config.json", "vocab.txt"}
OF_SENTENCES = {"modules.json", "sentence_bert_config.json", "1_Pooling/config.json", "2_Normalize/config.json"}


def files(path):
    return {str(file.relative_to(path)) for file in path.rglob("*") if file.is_file()}


def export(model, out, *options):
    return main(["export", str(model), "--onnx", str(out), *options])


def refusal(model, out, capsys, *options):
    """It must fail with one line, exit code 2, and leave nothing that was not there -> the line"""
    before = files(out.parent)
    capsys.readouterr()
    assert export(model, out, *options) == 2
    lines = [
        line for line in capsys.readouterr().err.splitlines() if not line.startswith(("onnx/", "compiling kernels"))
    ]
    assert len(lines) == 1
    assert files(out.parent) == before and not list(out.parent.glob(".*"))
    return lines[0].removeprefix("minimobilebert: error: ")


@pytest.mark.parametrize(("options", "graphs"), [([], {FLOAT}), (["--int8"], {FLOAT, QUANTIZED})])
def test_a_folder_has_the_files_that_others_look_for(options, graphs, tmp_path, capsys):
    model = write_model(tmp_path / "ours", MODEL, sentence=SentenceSettings(max_length=9))
    out = tmp_path / "a" / "b"
    assert export(model, out, *options) == 0
    assert files(out) == ALWAYS | OF_SENTENCES | graphs
    printed = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in printed[:-1]] == sorted(graphs)
    assert printed[-1] == f"written to {out}"
    assert all(" MB, " in line and " nodes; " in line for line in printed[:-1])
    assert json.loads((out / "tokenizer_config.json").read_text())["model_max_length"] == 9
    for graph in graphs:
        onnx.checker.check_model(str(out / graph), full_check=True)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("config", [MODEL, NARROW], ids=["bert", "mobilebert"])
def test_graphs_have_the_names_and_shapes_that_others_expect(config, head, tmp_path):
    model = write_model(tmp_path / "ours", config, head, seed=1)
    assert export(model, tmp_path / "out") == 0
    found = onnx.load(str(tmp_path / "out" / FLOAT))
    assert found.ir_version <= 10 and [(o.domain, o.version) for o in found.opset_import] == [("", 17)]
    assert found.producer_name == "minimobilebert"

    def described(values):
        dims = {v.name: [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim] for v in values}
        return {v.name: (v.type.tensor_type.elem_type, dims[v.name]) for v in values}

    ids = (onnx.TensorProto.INT64, ["batch", "length"])
    assert described(found.graph.input) == dict.fromkeys(("input_ids", "attention_mask", "token_type_ids"), ids)
    words = {"logits": ["batch", "length", TOKENIZER.vocab_size]}
    expected = {
        None: {"last_hidden_state": ["batch", "length", 32]},
        "masked-words": words,
        "pretraining": {**words, "seq_relationship_logits": ["batch", 2]},
        "classification": {"logits": ["batch", 2]},
        "question-answering": {name: ["batch", "length"] for name in ("start_logits", "end_logits")},
    }[head]
    assert described(found.graph.output) == {k: (onnx.TensorProto.FLOAT, dims) for k, dims in expected.items()}
    settings = json.loads((tmp_path / "out" / "config.json").read_text())
    assert head_from_hf(settings, (), "config.json") == head
    assert config_from_hf(settings, "config.json").hidden_size == 32


def test_a_sentence_encoder_with_a_head_returns_both(tmp_path):
    model = write_model(tmp_path / "ours", MODEL, "masked-words", SentenceSettings())
    assert export(model, tmp_path / "out") == 0
    names = [output.name for output in onnx.load(str(tmp_path / "out" / FLOAT)).graph.output]
    assert names == ["last_hidden_state", "sentence_embedding", "logits"]


def test_the_export_is_the_same_every_time(tmp_path):
    model = write_model(tmp_path / "ours", NARROW, "pretraining")
    for name in "ab":
        assert export(model, tmp_path / name, "--int8") == 0
    for file in files(tmp_path / "a"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes(), file


def test_names_of_classes_and_a_prompt_travel_along(tmp_path, capsys):
    labels = ["bad", "so so", "g\u00fct"]
    model = write_model(tmp_path / "classes", MODEL, "classification", labels=labels, seed=2)
    assert export(model, tmp_path / "out") == 0
    settings = json.loads((tmp_path / "out" / "config.json").read_text())
    assert [settings["id2label"][str(i)] for i in range(3)] == labels
    capsys.readouterr()
    model = write_model(tmp_path / "prompt", MODEL, sentence=SentenceSettings(prompt="what does "))
    assert export(model, tmp_path / "prompt_out") == 0
    assert "note: the prompt 'what does ' belongs before every text" in capsys.readouterr().err


@pytest.mark.parametrize("config", [
    NARROW.replace(key_query_shared_bottleneck=False, normalization_type="layer_norm"),
    MODEL.replace(trigram_input=True, embedding_size=8),
    MODEL.replace(num_feedforward_networks=3, normalization_type="no_norm", classifier_activation=False),
])  # fmt: skip
def test_models_that_transformers_cannot_build_are_exported_all_the_same(config, tmp_path, capsys):
    model = write_model(tmp_path / "ours", config, "classification")
    assert main(["convert", "--from", model, "--to-hf", str(tmp_path / "hf")]) == 2
    assert export(model, tmp_path / "out") == 0


def test_float64_is_exported_as_float32(tmp_path):
    params = {name: array.astype(np.float64) for name, array in parameters_of(MODEL, None).items()}
    save_model(tmp_path / "ours", params, MODEL, TOKENIZER)
    assert export(tmp_path / "ours", tmp_path / "out", "--int8") == 0
    types = {tensor.data_type for tensor in onnx.load(str(tmp_path / "out" / FLOAT)).graph.initializer}
    assert types == {onnx.TensorProto.FLOAT, onnx.TensorProto.INT64}


def test_a_quantised_model_has_one_graph_and_only_on_request(tmp_path, capsys):
    model = write_model(tmp_path / "ours", NARROW, "classification")
    assert main(["quantize", model, "--out", str(tmp_path / "ours8")]) == 0
    line = refusal(tmp_path / "ours8", tmp_path / "out", capsys)
    assert line == f"{tmp_path / 'ours8'}: found a model in 8 bits, whose float32 is gone, expected --int8 with it"
    assert export(tmp_path / "ours8", tmp_path / "out", "--int8") == 0
    assert files(tmp_path / "out") == ALWAYS | {QUANTIZED}
    assert export(model, tmp_path / "both", "--int8") == 0
    assert (tmp_path / "both" / QUANTIZED).read_bytes() == (tmp_path / "out" / QUANTIZED).read_bytes()


NOT_FINITE = [("bert.encoder.layer.1.output.dense.weight", (3, 5)), ("bert.embeddings.word_embeddings.weight", (7, 0)),
              ("bert.embeddings.LayerNorm.bias", (2,)), ("classifier.weight", (0, 31))]  # fmt: skip


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(("name", "index"), NOT_FINITE)
def test_weights_that_are_not_finite_are_named(name, index, value, tmp_path, capsys):
    params = parameters_of(MODEL, "classification")
    params[name][index] = value
    save_model(tmp_path / "ours", params, MODEL, TOKENIZER)
    line = refusal(tmp_path / "ours", tmp_path / "out", capsys, "--int8")
    assert line.endswith(f"{name}: found {value} at {list(index)}, expected finite numbers")


def test_a_number_beyond_float32_is_named(tmp_path, capsys):
    params = {name: array.astype(np.float64) for name, array in parameters_of(MODEL, None).items()}
    params["bert.pooler.dense.bias"][4] = 1e39
    save_model(tmp_path / "ours", params, MODEL, TOKENIZER)
    line = refusal(tmp_path / "ours", tmp_path / "out", capsys)
    assert line == f"{tmp_path / 'ours'}: bert.pooler.dense.bias: found 1e+39 at [4], expected numbers of float32"


@pytest.mark.parametrize("there", ["file in it", "a file", "the model itself"])
def test_a_folder_that_holds_something_is_left_alone(there, tmp_path, capsys):
    model, out = write_model(tmp_path / "ours", MODEL), tmp_path / "out"
    if there == "a file":
        out.write_text("mine")
    elif there == "file in it":
        out.mkdir()
        (out / "notes.txt").write_text("mine")
    else:
        out = tmp_path / "ours"
    line = refusal(model, out, capsys)
    assert line == f"{out}: found something there already, expected a new or empty folder"


def test_an_empty_folder_is_filled(tmp_path):
    (tmp_path / "out").mkdir()
    assert export(write_model(tmp_path / "ours", MODEL), tmp_path / "out") == 0


def test_what_is_no_model_is_refused(tmp_path, capsys):
    assert "expected a run" in refusal(tmp_path / "nothing", tmp_path / "out", capsys)
    (tmp_path / "empty").mkdir()
    assert "expected a model" in refusal(tmp_path / "empty", tmp_path / "out", capsys)


@pytest.mark.parametrize("where", ["a file", "a folder under a file"])
def test_a_target_that_cannot_be_written_is_one_line(where, tmp_path, capsys):
    model = write_model(tmp_path / "ours", MODEL)
    (tmp_path / "file").write_text("")
    out = tmp_path / "file" / "out"
    capsys.readouterr()
    assert export(model, out if where == "a file" else out / "deeper") == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_other_programs_cut_texts_where_the_fine_tuned_run_did(tmp_path):
    pytest.importorskip("safetensors", reason=NEEDS_ONNX)
    model = write_model(tmp_path / "ours", MODEL, "classification")
    (tmp_path / "ours" / "config.json").write_text(json.dumps({"start_model": "x", "max_length": 7}))
    assert export(model, tmp_path / "out") == 0
    assert main(["convert", "--from", model, "--to-hf", str(tmp_path / "hf")]) == 0
    for written in ("out", "hf"):
        settings = json.loads((tmp_path / written / "tokenizer_config.json").read_text())
        assert settings["model_max_length"] == 7 < MODEL.max_position_embeddings


def test_without_onnx_the_extra_is_named(tmp_path, monkeypatch, capsys):
    model = write_model(tmp_path / "ours", MODEL)
    monkeypatch.setitem(sys.modules, "onnx", None)
    line = refusal(model, tmp_path / "out", capsys)
    assert line.startswith("onnx is not installed; it comes with the extra 'interop'")


@pytest.mark.parametrize("int8", [False, True])
def test_without_onnx_runtime_our_interpreter_compares(int8, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(folder, "has_runtime", lambda: False)
    model = write_model(tmp_path / "ours", MODEL)
    assert export(model, tmp_path / "out", *["--int8"] * int8) == 0
    graphs = capsys.readouterr().out.splitlines()[:-1]
    assert len(graphs) == 1 + int8
    assert all("; largest relative error in our interpreter: last_hidden_state " in line for line in graphs)
    monkeypatch.setattr(folder, "encoder", lambda graph, params, config, *arguments: encoder(
        graph, params, config.replace(hidden_act="relu"), *arguments))  # fmt: skip
    assert "found a relative error of" in refusal(model, tmp_path / "wrong", capsys)


def test_every_head_has_a_form_and_another_one_is_refused():
    for head in (*ALL_HEADS, None):
        check_head(head, "runs/x")
    with pytest.raises(ValueError, match="runs/x: found the head 'token-classification', expected one of"):
        check_head("token-classification", "runs/x")


def test_a_model_that_is_too_large_for_one_file_is_refused(tmp_path, monkeypatch, capsys):
    model = write_model(tmp_path / "ours", MODEL)
    size = sum(array.nbytes for array in load_model(model).params.values())
    monkeypatch.setattr(folder, "MOST_BYTES", size - 1)
    line = refusal(model, tmp_path / "out", capsys)
    assert "MB of parameters, expected at most" in line and "one file" in line
    monkeypatch.setattr(folder, "MOST_BYTES", size)
    assert export(model, tmp_path / "out") == 0


def need_runtime():
    pytest.importorskip("onnxruntime", reason="needs the extra compare: make setup EXTRAS=compare")


def test_a_graph_that_computes_something_else_is_not_written(tmp_path, monkeypatch, capsys):
    need_runtime()

    def wrong(graph, params, config, *arguments):
        return encoder(graph, params, config.replace(hidden_act="relu"), *arguments)

    model = write_model(tmp_path / "ours", MODEL)
    monkeypatch.setattr(folder, "encoder", wrong)
    line = refusal(model, tmp_path / "out", capsys)
    assert "model.onnx: last_hidden_state: found a relative error of" in line and "nothing was written" in line


def test_a_graph_may_differ_by_what_float32_itself_loses(tmp_path, monkeypatch, capsys):
    """Where a model amplifies every rounding, a difference is no error of the graph."""
    need_runtime()
    monkeypatch.setattr(folder, "_LARGEST_ERROR", 0.0)
    model = write_model(tmp_path / "ours", NARROW)
    assert export(model, tmp_path / "out") == 0
    monkeypatch.setattr(folder, "_ROUNDINGS", 0)
    assert "expected at most 0e+00" in refusal(model, tmp_path / "none", capsys)


def test_a_model_that_overflows_is_refused(tmp_path, capsys):
    need_runtime()
    params = parameters_of(NARROW, None)
    for name in params:
        if name.endswith("LayerNorm.weight"):
            params[name][:] = 1e18
    save_model(tmp_path / "ours", params, NARROW, TOKENIZER)
    line = refusal(tmp_path / "ours", tmp_path / "out", capsys)
    assert line == "model: last_hidden_state: found NaN or infinity for random inputs, expected finite numbers"


def test_relative_errors():
    ones = np.ones((2, 3))
    assert comparison.relative_error(ones, ones) == 0.0
    assert comparison.relative_error(1e7 * ones, 1e7 * ones + [[0, 0, 1], [0, 0, 0]]) == pytest.approx(1e-7)
    assert comparison.relative_error(0.0 * ones, 0.0 * ones) == 0.0
    assert comparison.relative_error(ones, 0.0 * ones) == 1.0
    assert comparison.relative_error(np.nan * ones, ones) == comparison.relative_error(ones, np.inf * ones) == np.inf
    with pytest.raises(ValueError, match=r"found an output of shape \(2, 3\), expected \(3, 2\)"):
        comparison.relative_error(ones, ones.T)


def test_the_vocabulary_is_read_back_by_us(tmp_path):
    """The tokeniser's files are those of `convert`, which reads them; only the tensors are missing."""
    pytest.importorskip("safetensors", reason=NEEDS_ONNX)
    model = write_model(tmp_path / "ours", MODEL, sentence=SentenceSettings())
    assert export(model, tmp_path / "out") == 0
    with pytest.raises(ValueError, match="found no model.safetensors"):
        read_hf(tmp_path / "out")
    assert main(["convert", "--from", model, "--to-hf", str(tmp_path / "hf")]) == 0
    same = files(tmp_path / "hf") & files(tmp_path / "out") - {"config.json"}
    assert len(same) >= 7
    for file in same:
        assert (tmp_path / "hf" / file).read_bytes() == (tmp_path / "out" / file).read_bytes(), file


@pytest.mark.parametrize("command", ["latency --against none", "quantize --out {0}/other", "export --onnx {0}/other"])
def test_an_exported_folder_is_no_model_and_no_interrupted_run(tmp_path, capsys, command):
    model = write_model(tmp_path / "model", MODEL)
    assert main(["export", model, "--onnx", str(tmp_path / "out")]) == 0
    capsys.readouterr()
    assert main([*command.format(tmp_path).split(), str(tmp_path / "out")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "found what `export` writes, expected the model that it was made from" in line
    assert not (tmp_path / "other").exists()
