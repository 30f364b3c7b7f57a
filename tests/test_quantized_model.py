"""A model in 8 bits: both ways to compute it agree, it is stored and read again, and what cannot be is refused."""

import numpy as np
import pytest
from fine_tuning_data import BERT, MOBILE, no_dropout, write_model
from thread_counts import threads
from tiny_models import CONFIGS, random_parameters

from minimobilebert import Model
from minimobilebert.cli import main
from minimobilebert.inference.calibration import MOST_TEXTS, input_ranges
from minimobilebert.inference.embed import embed
from minimobilebert.inference.engine import Engine
from minimobilebert.inference.fill_mask import fill_mask
from minimobilebert.kernels.runtime.backend import use_backend
from minimobilebert.model.embeddings import embeddings_forward
from minimobilebert.model.layers import dense
from minimobilebert.model.parameters import init_parameters, parameter_shapes
from minimobilebert.model.quantization import as_arrays, from_arrays, is_dense_name, is_quantized, quantize
from minimobilebert.ops.quantized_linear import QuantizedWeight
from minimobilebert.training.checkpoints import load_checkpoint, save_checkpoint

TEXTS = ["ada eats tea.", "ben eats milk and tea."]


def model(config, seed=1):
    """Parameters in float32, in 8 bits, and inputs with padding"""
    rng = np.random.default_rng(seed)
    params = {name: array.astype(np.float32) for name, array in random_parameters(config, rng).items()}
    ids = rng.integers(1, config.vocab_size, (3, 9)).astype(np.int32)
    mask = np.arange(9) < np.array([[9], [4], [1]])
    return params, quantize(params, config), (ids, np.zeros_like(ids), mask)


def relative(found, expected):
    """Root mean square of the difference, relative to that of the expected numbers"""
    return np.sqrt(np.square(found - expected).mean() / np.square(expected).mean())


@pytest.mark.parametrize("name", CONFIGS)
def test_the_engine_computes_what_the_layers_compute(name, backend):
    config = CONFIGS[name].replace(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    params, quantized, inputs = model(config)
    real = inputs[2]
    found, exact = Engine(quantized, config)(*inputs)[real], Engine(params, config)(*inputs)[real]
    # By the definition: single operations in NumPy. A number that is nearly halfway between two integers may be rounded
    # to the other one, because norms and softmax are rounded differently; such a step is a 127th of its row's largest.
    with use_backend("numpy"):
        expected = Engine(quantized, config)(*inputs)[real]
    assert relative(found, expected) < 0.02
    assert 0.0 < relative(found, exact) < 0.1  # tiny layers have few numbers over which errors could cancel


def test_threads_do_not_change_a_bit():
    pytest.importorskip("numba", reason="numba is not installed")
    config = CONFIGS["mobilebert"]
    _, quantized, inputs = model(config)
    engine = Engine(quantized, config)
    with use_backend("numba"):
        found = engine(*inputs)
        with threads(1):
            assert np.array_equal(engine(*inputs), found)


def test_words_and_dense_layers_are_read_as_integers():
    config = CONFIGS["mobilebert"]
    params, quantized, inputs = model(config)
    table = quantized[f"{config.prefix}.embeddings.word_embeddings.weight"]
    assert isinstance(table, QuantizedWeight) and table[np.array([[3]])].shape == (1, 1, config.embedding_size)
    half = table.scales[:, None] / 2 * (1 + 1e-5)
    assert (np.abs(table[np.arange(config.vocab_size)] - params[f"{config.prefix}.embeddings.word_embeddings.weight"])
            <= half).all()  # fmt: skip
    name = f"{config.prefix}.encoder.layer.0.attention.self.value"
    x = np.ones((2, quantized[f"{name}.weight"].shape[1]), np.float32)
    y, cache = dense(quantized, name, x)
    assert cache is None and relative(y, dense(params, name, x)[0]) < 0.05
    found, _ = embeddings_forward(quantized, config, *inputs[:2])
    assert relative(found, embeddings_forward(params, config, *inputs[:2])[0]) < 0.05


def test_it_is_stored_and_read_again(tmp_path, capsys, backend):
    write_model(tmp_path / "model", no_dropout(MOBILE), head="pretraining")
    assert main(["quantize", str(tmp_path / "model"), "--out", str(tmp_path / "small")]) == 0
    assert "in 8 bits" in capsys.readouterr().out
    whole, small = Model.load(tmp_path / "model"), Model.load(tmp_path / "small")
    assert is_quantized(small.params) and not is_quantized(whole.params)
    before, after = as_arrays(quantize(whole.params, whole.config)), as_arrays(small.params)
    assert before.keys() == after.keys() and all(np.array_equal(before[name], after[name]) for name in before)
    assert relative(embed(small, TEXTS), embed(whole, TEXTS)) < 0.1
    assert fill_mask(small, "ada eats [MASK] .", 3)
    encoded, exact = (each.encode(TEXTS, hidden_states=True, attention_maps=True) for each in (small, whole))
    assert len(encoded.hidden_states) == len(exact.hidden_states)
    assert relative(encoded.hidden_states[-1], small.encode(TEXTS).last_hidden) < 0.02  # as for the engine above
    assert 0.0 < relative(encoded.attention_maps[0], exact.attention_maps[0]) < 0.1


def test_a_table_is_predicted_and_scored(tmp_path, capsys):
    rows = "".join(f"{'ada ben'.split()[n % 2]} eats tea,{n % 2}\n" for n in range(20))
    (tmp_path / "table.csv").write_text("text,label\n" + rows, encoding="utf-8")
    write_model(tmp_path / "model", no_dropout(BERT), head="classification", num_labels=2)
    assert main(["quantize", str(tmp_path / "model"), "--out", str(tmp_path / "small")]) == 0
    of_table = ["--data", str(tmp_path / "table.csv"), "--text", "text", "--model", str(tmp_path / "small")]
    assert main(["predict", *of_table, "--out", str(tmp_path / "answers.csv")]) == 0
    assert len((tmp_path / "answers.csv").read_text(encoding="utf-8").splitlines()) == 21
    assert main(["evaluate", *of_table, "--label", "label"]) == 0


@pytest.mark.parametrize("command", ["quantize {0} --out {1}/again", "convert --from {0} --to-hf {1}/hf",
                                     "distil --teacher {0} --text {1} --out {1}/student"])  # fmt: skip
def test_what_cannot_be_done_in_8_bits_is_one_line(tmp_path, capsys, command):
    if "--to-hf" in command:
        pytest.importorskip("safetensors", reason="needs the extra interop: make setup EXTRAS=interop")
    write_model(tmp_path / "model", no_dropout(BERT))
    assert main(["quantize", str(tmp_path / "model"), "--out", str(tmp_path / "small")]) == 0
    capsys.readouterr()
    assert main(command.format(tmp_path / "small", tmp_path).split()) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("minimobilebert")]
    assert len(lines) == 1 and "found a model in 8 bits" in lines[0]
    assert {path.name for path in tmp_path.iterdir()} <= {"model", "small", "student"}


def test_a_folder_that_holds_something_and_weights_that_are_not_finite(tmp_path, capsys):
    write_model(tmp_path / "model", no_dropout(BERT))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("keep me")
    assert main(["quantize", str(tmp_path / "model"), "--out", str(tmp_path / "full")]) == 2
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["letter.txt"]
    name = "bert.encoder.layer.0.attention.self.query.weight"
    config = no_dropout(BERT)
    params = {
        name: array.astype(np.float32) for name, array in random_parameters(config, np.random.default_rng(1)).items()
    }
    params[name][1, 1] = np.inf
    with pytest.raises(ValueError, match=f"{name}: weight: found NaN or infinity"):
        quantize(params, config)
    with pytest.raises(ValueError, match=f"{name}: weight: found float64, expected float32"):
        quantize(params | {name: np.ones((16, 16))}, config)


def test_damaged_scales_are_refused(tmp_path, capsys):
    write_model(tmp_path / "model", no_dropout(BERT))
    main(["quantize", str(tmp_path / "model"), "--out", str(tmp_path / "small")])
    path = tmp_path / "small" / "checkpoint-final.npz"
    arrays, metadata = load_checkpoint(path)
    name = "bert.encoder.layer.0.attention.self.query.weight"
    for changes, says in (
        ({f"{name}.scales": -arrays[f"{name}.scales"]}, "not negative"),
        ({f"{name}.scales": arrays[f"{name}.scales"][:-1]}, "expected a scale for each"),
        ({name: np.full_like(arrays[name], -128)}, "-128"),
        ({name: arrays[name].astype(np.float32)}, "expected a weight in 8 bits"),
        (
            {
                "bert.pooler.dense.weight": np.ones((len(arrays["bert.pooler.dense.weight"]),) * 2, np.int8),
                "bert.pooler.dense.weight.scales": np.ones(len(arrays["bert.pooler.dense.weight"]), np.float32),
            },
            "other parameters in 8 bits",
        ),
    ):
        save_checkpoint(path, arrays | changes, metadata)
        capsys.readouterr()
        assert main(["embed", "ada", "--model", str(tmp_path / "small")]) == 2
        assert says in capsys.readouterr().err
    with pytest.raises(ValueError, match="expected a weight"):
        from_arrays({"a.scales": np.ones(3, np.float32)})


def texts_of(ids):
    """ids [B, T] -> inputs of one text each"""
    return [(row[None], np.zeros_like(row[None]), np.ones(row[None].shape, bool)) for row in ids]


@pytest.mark.parametrize("name", CONFIGS)
def test_ranges_are_the_largest_inputs_of_each_layer(name, backend):
    config = CONFIGS[name]
    params, _, (ids, *_) = model(config)
    found = input_ranges(params, config, texts_of(ids))
    assert found.keys() == {each for each in params if is_dense_name(each, config.prefix)}
    assert all(value > 0.0 for value in found.values())
    # By another way: with a range that is a little too small, the numbers of some token saturate; with it, of none.
    weight = f"{config.prefix}.encoder.layer.0.attention.self.query.weight"
    if not config.use_bottleneck:  # the layer's input is the embeddings' output
        h = np.concatenate([embeddings_forward(params, config, *inputs[:2])[0] for inputs in texts_of(ids)])
        assert found[weight] == np.abs(h).max()
    single = [input_ranges(params, config, [text]) for text in texts_of(ids)]
    assert all(found[each] == max(one[each] for one in single) for each in found)


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("scales", ["per-channel", "per-tensor"])
def test_the_engine_knows_fixed_scales(name, scales):
    config = CONFIGS[name]
    params, _, (ids, segments, _) = model(config)
    inputs = ids, segments, np.ones(ids.shape, bool)
    ranges = input_ranges(params, config, texts_of(ids))
    quantized = quantize(params, config, scales, ranges)
    with use_backend("numpy"):
        expected = Engine(quantized, config)(*inputs)
    with use_backend("numba"):
        found = Engine(quantized, config)(*inputs)
        assert relative(found, expected) < 0.02  # as above: a number halfway between two integers
        small = quantize(params, config, scales, {each: value / 50 for each, value in ranges.items()})
        assert relative(Engine(small, config)(*inputs), found) > 0.1  # other ranges, other numbers


@pytest.mark.parametrize("name", CONFIGS)
def test_layers_that_read_the_same_numbers_may_have_different_ranges(name):
    """The engine quantises such numbers once for all of these layers, where their ranges are equal."""
    config = CONFIGS[name]
    params, _, (ids, segments, _) = model(config)
    inputs = ids, segments, np.ones(ids.shape, bool)
    ranges = input_ranges(params, config, texts_of(ids))
    names = [f"{config.prefix}.encoder.layer.1.attention.self.{part}.weight" for part in ("query", "value")]
    changed = quantize(params, config, ranges=ranges | {each: ranges[each] / np.float32(8.0) for each in names})
    with use_backend("numpy"):
        expected = Engine(changed, config)(*inputs)
    with use_backend("numba"):
        found, equal = (
            Engine(changed, config)(*inputs),
            Engine(quantize(params, config, ranges=ranges), config)(*inputs),
        )
    assert relative(found, expected) < 0.02  # as above
    assert relative(equal, expected) > 0.05


def test_one_large_token_spoils_the_others_where_all_share_a_scale():
    """MobileBERT's [CLS] grows large, because NoNorm bounds nothing. Here its position has a hundred times the size."""
    config = no_dropout(MOBILE).replace(hidden_size=64, intra_bottleneck_size=32, initializer_range=0.05)
    params = init_parameters(parameter_shapes(config), config, np.random.default_rng(1))
    ids = np.random.default_rng(2).integers(1, config.vocab_size, (6, 9)).astype(np.int32)
    inputs = ids, np.zeros_like(ids), np.ones(ids.shape, bool)
    lost = {}
    for size in (1, 100):
        params["mobilebert.embeddings.position_embeddings.weight"][0] *= size
        exact = Engine(params, config)(*inputs)[:, 1:]  # what the other tokens lose
        for kind, ranges in (("token", None), ("tensor", input_ranges(params, config, texts_of(ids)))):
            found = Engine(quantize(params, config, ranges=ranges), config)(*inputs)[:, 1:]
            lost[size, kind] = relative(found, exact)
    assert lost[1, "tensor"] < 2 * lost[1, "token"]
    assert lost[100, "token"] < 0.01 and lost[100, "tensor"] > 8 * lost[100, "token"], lost


def test_a_calibrated_model_is_stored_and_read_again(tmp_path, capsys, backend):
    write_model(tmp_path / "model", no_dropout(MOBILE), head="pretraining")
    (tmp_path / "text.txt").write_text("ada eats tea.\n\nben eats milk and tea.\n", encoding="utf-8")
    words = ["quantize", str(tmp_path / "model"), "--out", str(tmp_path / "small"), "--scales", "per-tensor",
             "--calibrate", str(tmp_path / "text.txt")]  # fmt: skip
    assert main(words) == 0
    out, err = capsys.readouterr()
    assert "calibrated with 2 paragraphs" in err
    assert "(weights per-tensor, activations a fixed scale in each layer, from 2 paragraphs); " in out
    whole, small = Model.load(tmp_path / "model"), Model.load(tmp_path / "small")
    dense = {name for name in small.params if is_dense_name(name, "mobilebert")}
    assert all(
        (getattr(small.params[name], "input_range", None) is not None) == (name in dense) for name in small.params
    )
    assert all(len(set(small.params[name].scales.tolist())) == 1 for name in dense)
    assert relative(embed(small, TEXTS), embed(whole, TEXTS)) < 0.1
    encoded = small.encode(TEXTS, hidden_states=True)
    assert relative(encoded.hidden_states[-1], small.encode(TEXTS).last_hidden) < 0.02


def test_a_table_calibrates_and_a_long_text_is_cut(tmp_path, capsys):
    write_model(tmp_path / "model", no_dropout(BERT))
    rows = "".join(f"ada eats {n} figs\n" for n in range(MOST_TEXTS + 5))
    (tmp_path / "table.csv").write_text("review\n" + rows, encoding="utf-8")
    words = ["quantize", str(tmp_path / "model"), "--out", str(tmp_path / "small"), "--calibrate",
             str(tmp_path / "table.csv"), "--column"]  # fmt: skip
    assert main([*words, "text"]) == 2 and not (tmp_path / "small").exists()
    assert main([*words, "review"]) == 0
    said = capsys.readouterr().err
    assert f"calibrated with {MOST_TEXTS} paragraphs, the first of the text; the rest was not read" in said
    assert "cut to" not in said
    (tmp_path / "long.txt").write_text("ada eats figs\n\n" + "ada " * 200, encoding="utf-8")
    words = ["quantize", str(tmp_path / "model"), "--out", str(tmp_path / "other"), "--calibrate",
             str(tmp_path / "long.txt")]  # fmt: skip
    assert main(words) == 0
    said = capsys.readouterr().err
    assert "calibrated with 2 paragraphs; " in said
    assert f"note: 1 of 2 paragraphs cut to {BERT.max_position_embeddings} word pieces" in said


@pytest.mark.parametrize(
    ("text", "options", "says"),
    [
        ("", [], "found no text to calibrate with"),
        ("\n \n\t\n", [], "found no text to calibrate with"),
        ("\u200b\n\n\x01\n", [], "found no text to calibrate with"),
        (None, [], "not found, expected a text or a folder of texts"),
        (b"\xff\xfe\x00", [], "text.txt"),
        ("ada", ["--column", "review", "--calibrate", "{0}/empty"], "found no text, expected at least one"),
    ],
)
def test_what_cannot_calibrate_is_one_line(tmp_path, capsys, text, options, says):
    write_model(tmp_path / "model", no_dropout(BERT))
    (tmp_path / "empty").mkdir()
    if text is not None:
        (tmp_path / "text.txt").write_bytes(text if isinstance(text, bytes) else text.encode())
    words = [
        "quantize",
        str(tmp_path / "model"),
        "--out",
        str(tmp_path / "small"),
        "--calibrate",
        str(tmp_path / "text.txt"),
    ]
    assert main([*words, *(option.format(tmp_path) for option in options)]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("minimobilebert")]
    assert len(lines) == 1 and says in lines[0]
    assert not (tmp_path / "small").exists()


def test_a_place_that_cannot_be_written_is_named_before_the_work(tmp_path, capsys):
    write_model(tmp_path / "model", no_dropout(BERT))
    (tmp_path / "text.txt").write_text("ada eats tea.", encoding="utf-8")
    (tmp_path / "file").touch()
    words = ["quantize", str(tmp_path / "model"), "--calibrate", str(tmp_path / "text.txt")]
    assert main([*words, "--out", str(tmp_path / "file" / "small")]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and f"{tmp_path / 'file' / 'small'}: cannot write there" in lines[0]


@pytest.mark.parametrize("name", ["model", "model/checkpoint-final.npz"])
def test_a_model_is_not_written_into_its_source(tmp_path, capsys, name):
    write_model(tmp_path / "model", no_dropout(BERT))
    before = sorted((tmp_path / "model").rglob("*"))
    assert main(["quantize", str(tmp_path / name), "--out", str(tmp_path / "model" / "small")]) == 2
    assert "found a folder inside the model" in capsys.readouterr().err
    assert sorted((tmp_path / "model").rglob("*")) == before


def test_options_that_would_be_ignored_are_refused(tmp_path, capsys):
    write_model(tmp_path / "model", no_dropout(BERT))
    words = ["quantize", str(tmp_path / "model"), "--out", str(tmp_path / "small")]
    assert main([*words, "--column", "text"]) == 2
    assert "--column: found it without --calibrate" in capsys.readouterr().err
    (tmp_path / "text.txt").write_text("ada eats figs", encoding="utf-8")
    assert main([*words, "--column", "text", "--calibrate", str(tmp_path / "text.txt")]) == 2
    assert "--column: found 'text' and no table among the texts" in capsys.readouterr().err
    with pytest.raises(SystemExit) as stop:
        main([*words, "--scales", "per-row"])
    assert stop.value.code == 2


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("calibrates", [False, True])
def test_weights_that_are_not_finite_are_one_line(tmp_path, capsys, bad, calibrates):
    write_model(tmp_path / "model", no_dropout(BERT))
    path = tmp_path / "model" / "checkpoint-final.npz"
    arrays, metadata = load_checkpoint(path)
    arrays["bert.encoder.layer.0.attention.self.query.weight"][1, 1] = bad
    save_checkpoint(path, arrays, metadata)
    (tmp_path / "text.txt").write_text("ada eats tea.", encoding="utf-8")
    words = ["quantize", str(tmp_path / "model"), "--out", str(tmp_path / "small")]
    assert main([*words, *(["--calibrate", str(tmp_path / "text.txt")] if calibrates else [])]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and "attention.self.query.weight" in lines[0] and not (tmp_path / "small").exists()


def test_damaged_ranges_are_refused(tmp_path, capsys):
    write_model(tmp_path / "model", no_dropout(BERT))
    (tmp_path / "text.txt").write_text("ada eats tea.", encoding="utf-8")
    main(
        [
            "quantize",
            str(tmp_path / "model"),
            "--out",
            str(tmp_path / "small"),
            "--calibrate",
            str(tmp_path / "text.txt"),
        ]
    )
    path = tmp_path / "small" / "checkpoint-final.npz"
    arrays, metadata = load_checkpoint(path)
    name, words = "bert.encoder.layer.0.attention.self.query.weight.range", "bert.embeddings.word_embeddings.weight"
    for changes, says in (
        ({name: -arrays[name]}, "not negative"),
        ({name: np.float32([1.0, 2.0])}, "expected one number"),
        ({name: np.float64([1.0])}, "expected one number"),
        ({name: None}, "other parameters in 8 bits"),
        ({f"{words}.range": np.float32([1.0])}, "other parameters in 8 bits"),
        ({"bert.pooler.dense.weight.range": np.float32([1.0])}, "found range, expected a weight in 8 bits"),
    ):
        changed = {key: value for key, value in (arrays | changes).items() if value is not None}
        save_checkpoint(path, changed, metadata)
        capsys.readouterr()
        assert main(["embed", "ada", "--model", str(tmp_path / "small")]) == 2
        assert says in capsys.readouterr().err


def test_a_fine_tuned_run_keeps_its_columns(tmp_path, capsys):
    rows = "".join(f"{'ada ben'.split()[n % 2]} eats {n} figs,{'good bad'.split()[n % 2]}\n" for n in range(40))
    (tmp_path / "table.csv").write_text("review,stars\n" + rows, encoding="utf-8")
    write_model(tmp_path / "model", no_dropout(BERT))
    table, run, small = (str(tmp_path / name) for name in ("table.csv", "run", "small"))
    words = ["finetune", "--data", table, "--text", "review", "--label", "stars", "--model", str(tmp_path / "model"),
             "--epochs", "1", "--max-length", "16"]  # fmt: skip
    assert main([*words, "--out", run]) == 0
    assert main(["quantize", run, "--out", small]) == 0
    capsys.readouterr()
    answers = {}
    for folder in (run, small):
        assert main(["predict", "--model", folder, "--data", table, "--out", f"{folder}.csv"]) == 0
        answers[folder] = (tmp_path / f"{folder}.csv").read_text(encoding="utf-8").splitlines()
        assert main(["evaluate", "--model", folder]) == 0
    assert [line.split(",")[:1] for line in answers[run]] == [line.split(",")[:1] for line in answers[small]]
    assert answers[small][0] == answers[run][0] and {"good", "bad"} & set(answers[small][1].split(","))
    # It is no run that can be continued, and a changed file is noticed.
    capsys.readouterr()
    before = {path.name: path.read_bytes() for path in (tmp_path / "small").iterdir()}
    assert main([*words, "--out", small]) == 2
    assert "choose another folder" in capsys.readouterr().err.splitlines()[-1]
    assert {path.name: path.read_bytes() for path in (tmp_path / "small").iterdir()} == before
    (tmp_path / "run" / "config.json").write_text("{}", encoding="utf-8")
    assert main(["quantize", run, "--out", str(tmp_path / "again")]) == 2
    assert "config.json" in capsys.readouterr().err and not (tmp_path / "again").exists()


@pytest.mark.parametrize("command", ["latency", "pareto"])
def test_the_scheme_is_said_where_a_model_is_stored_and_measured(tmp_path, capsys, command):
    write_model(tmp_path / "model", no_dropout(BERT))
    assert main(["quantize", str(tmp_path / "model"), "--out", str(tmp_path / "small")]) == 0
    scheme = "weights per-channel, activations per token"
    first, second = capsys.readouterr().out.splitlines()
    assert f"({scheme}); " in first and "`evaluate`" in second and "`pareto`" in second
    (tmp_path / "pairs.tsv").write_text("a\tb\ts\nada eats\tben eats\t3\nada\tben\t2\nada tea\tben tea\t1\n")
    options = {
        "latency": ["--against", "none", "--turns", "1", "--threads", "1", "--length", "9"],
        "pareto": ["--measure", str(tmp_path / "pairs.tsv"), "--columns", "a,b,s"],
    }[command]
    assert main([command, str(tmp_path / "model"), str(tmp_path / "small"), *options]) == 0
    said = [line for line in capsys.readouterr().err.splitlines() if ": in 8 bits, " in line]
    assert said == [f"small: in 8 bits, {scheme}"]
