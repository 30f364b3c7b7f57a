"""Parity with transformers: the comparison holds for every kind of model, and it can fail: it names the first tensor
that is wrong. The tables need neither torch nor transformers."""

import importlib
import json

import numpy as np
import pytest

import minimobilebert.model.layers
import minimobilebert.model.pretraining
from minimobilebert.cli import main
from minimobilebert.config import preset
from minimobilebert.interop.hf_config import _ACTIVATION_FROM_HF
from minimobilebert.model.parameters import parameter_shapes
from minimobilebert.model.pretraining import pretraining_forward
from minimobilebert.ops.activations import ACTIVATIONS
from minimobilebert.ops.fusion import use_fusion
from minimobilebert.parity.batches import KINK, VARIANTS, draw_batch, draw_batch_off_kinks, nearest_kink
from minimobilebert.parity.cases import Case, full_models, random_weights, small_models
from minimobilebert.parity.differences import (
    LIMITS,
    NOT_COMPARABLE,
    Run,
    differences,
    first_beyond,
    relative_difference,
)
from minimobilebert.parity.models import build_transformers_model, compare, run_minimobilebert, run_transformers
from minimobilebert.parity.run import check_case, not_comparable, run
from minimobilebert.parity.table import format_report

NEEDS_COMPARE = "needs the extra compare: make setup EXTRAS=compare"
CASES = {case.name: case for case in small_models(1)}


def need_compare():
    torch = pytest.importorskip("torch", reason=NEEDS_COMPARE)
    transformers = pytest.importorskip("transformers", reason=NEEDS_COMPARE)
    return torch, transformers


# Without torch: what is drawn, how it is compared, how it is shown


@pytest.mark.parametrize("seed", range(1, 6))
def test_a_dozen_small_models_have_every_kind(seed):
    cases = [case.config for case in small_models(seed)]
    mobile = [config for config in cases if config.use_bottleneck]
    assert 0 < len(mobile) < len(cases) == 12
    for group in (mobile, [config for config in cases if not config.use_bottleneck]):
        assert {config.hidden_act for config in group} == {"relu", "gelu", "gelu_tanh"}
    assert {config.normalization_type for config in mobile} == {"no_norm", "layer_norm"}
    assert {config.num_feedforward_networks for config in mobile} == {1, 2, 3, 4}
    for name in ("bottleneck_attention", "key_query_shared_bottleneck", "trigram_input", "classifier_activation"):
        assert {getattr(config, name) for config in mobile} == {False, True}
    same_width = [config for config in mobile if config.embedding_size == config.hidden_size]
    assert {config.trigram_input for config in same_width} == {False, True}
    assert any(config.hidden_size % 2 for config in cases)


def test_the_three_batches_are_what_they_are_called():
    for case in [*CASES.values(), *full_models()]:
        one, two, padding = (draw_batch(case, variant, np.random.default_rng(5)) for variant in VARIANTS)
        assert one.attention_mask.all() and two.attention_mask.all() and not padding.attention_mask.all()
        assert not one.token_type_ids.any() and set(np.unique(two.token_type_ids)) == {0, 1}
        for batch in (one, two, padding):
            assert ((batch.input_ids == 0) == ~batch.attention_mask).all()
            assert batch.attention_mask.reshape(-1)[batch.masked_positions].all()


def test_batches_stay_off_the_kinks():
    case = next(case for case in CASES.values() if case.config.hidden_act == "relu")
    params = random_weights(case.config, np.random.default_rng(1))
    batch = draw_batch_off_kinks(case, "padding", params, np.random.default_rng(2))
    assert KINK < nearest_kink(params, case.config, batch) < 0.1
    dead = {name: np.zeros_like(array) for name, array in params.items()}
    with pytest.raises(ValueError, match="found no batch off the kinks"):
        draw_batch_off_kinks(case, "padding", dead, np.random.default_rng(2))


def test_a_relu_on_the_other_side_of_its_kink_changes_gradients_and_nothing_else(backend):
    """One number in front of a ReLU is moved from -1e-9 to 1e-9."""
    case = CASES["small 1"]
    params = {k: v.astype(np.float64) for k, v in random_weights(case.config, np.random.default_rng(1)).items()}
    batch = draw_batch(case, "two segments", np.random.default_rng(2))
    name = f"mobilebert.encoder.layer.{case.config.num_hidden_layers - 1}.intermediate.dense.bias"
    with use_fusion(False):  # a fused layer does not store the input of ReLU
        _, cache = pretraining_forward(params, case.config, batch)
    before = cache.encoder.blocks[-1].feed_forwards[-1].intermediate.activation.x[0, 0, 0]
    runs = []
    for side in (-1e-9, 1e-9):
        bias = params[name].copy()
        bias[0] += side - before
        runs.append(run_minimobilebert({**params, name: bias}, case.config, batch))
    found = differences(*runs, False)
    assert max(d.value for d in found if d.kind == "forward") < 1e-8
    assert max(d.value for d in found if d.kind == "gradient") > 1e-3


def test_a_difference_is_relative_to_the_tensors_scale():
    theirs = np.array([1e7, 1.0, -2.0])
    assert relative_difference(theirs + 1.0, theirs) == pytest.approx(1e-7)
    assert relative_difference(np.zeros(3), np.zeros(3)) == 0.0
    for ours in (theirs[:2], None, theirs * np.nan, theirs * np.inf):
        assert relative_difference(ours, theirs) == NOT_COMPARABLE
    assert relative_difference(theirs, np.zeros(3)) == NOT_COMPARABLE


def test_a_tensor_that_one_side_lacks_is_a_difference():
    one = np.ones(2)
    found = differences(Run({"a": one}, {"p": one}), Run({"a": one, "b": one}, {"q": one}), False)
    assert [(d.name, d.value) for d in found] == [("a", 0.0), ("b", NOT_COMPARABLE)] + [
        (name, NOT_COMPARABLE) for name in ("p", "q")
    ]


def made_up_report(**changes):
    """A report with one large and one small model, every difference 1e-7 in float32 and 1e-15 in float64."""

    def model(case):
        config = case.config
        outputs = ("hidden_states[0]", "attention_maps[0]", "hidden_states[1]", "word_logits", "next_sentence_logits")
        kinds = dict.fromkeys((*outputs, "loss"), "forward")
        kinds |= dict.fromkeys(reversed(parameter_shapes(config, "pretraining")), "gradient")
        return {
            "model": case.name, "full": case.full, "family": config.prefix, "settings": vars(config),
            "parameters": 1234567, "batch": [2, 12], "first": None, "ok": True,
            "tensors": [{"name": name, "kind": kind, "shape": [2, 3], "float32": 1e-7, "float64": 1e-15}
                        for name, kind in kinds.items()],
        }  # fmt: skip

    large = Case("mobilebert", preset("mobilebert", num_hidden_layers=1), 2, 12, True)
    report = {
        "seed": 1, "backend": "numba", "versions": {"torch": "2", "transformers": "5"}, "limits": LIMITS,
        "models": [model(large), model(CASES["small 2"])], "not_compared": not_comparable(), "seconds": 61.4,
        "ok": True,
    }  # fmt: skip
    return {**report, **changes}


def test_the_table_has_a_line_a_layer_and_says_that_all_is_well():
    lines = format_report(made_up_report()).splitlines()
    assert lines[0] == "mobilebert: 1,234,567 parameters, 2 x 12 tokens"
    assert [line.split("  ")[0] for line in lines[2:7]] == [
        "embeddings",
        "layer 0",
        "word logits",
        "next sentence logits",
        "loss",
    ]
    layer = lines[3]
    assert layer.count("[2, 3]") == 3 and layer.count("1.0e-07") == 3 and layer.count("1.0e-15") == 3
    assert layer.split()[-3].startswith("output.bottleneck.")
    assert any(line.startswith("mobilebert  ") and " narrow " in line for line in lines)
    assert any(line.startswith("not compared: ib-bert-large, mobilebert-paper, ") for line in lines)
    summary = lines[lines.index("                outputs           gradients") :]
    assert summary[2].split() == ["limit", "1e-04", "1e-09", "1e-03", "1e-08"]
    assert summary[3].split() == ["mobilebert", "1.0e-07", "1.0e-15", "1.0e-07", "1.0e-15"]
    assert summary[4].split() == ["1", "small", "models", "1.0e-07", "1.0e-15", "1.0e-07", "1.0e-15"]
    assert lines[-1] == "all within the limits: 2 models, 61 seconds"
    assert max(map(len, lines)) < 180


def test_the_table_names_the_first_diverging_tensor():
    report = made_up_report()
    first = {"tensor": "hidden_states[1]", "dtype": "float64", "variant": "padding", "found": 0.25, "limit": 1e-9}
    report["models"][1] |= {"ok": False, "first": first}
    lines = format_report({**report, "ok": False}).splitlines()
    assert (
        lines[-1] == "first diverging tensor: hidden_states[1] (small 2, float64, padding), limit 1e-09, found 2.5e-01"
    )
    assert sum(line.endswith("FAIL") for line in lines) == 2  # its row, and the summary


@pytest.mark.parametrize(("ok", "code"), [(True, 0), (False, 1)])
def test_the_commands_exit_code(monkeypatch, capsys, ok, code):
    monkeypatch.setattr("minimobilebert.parity.run.run", lambda seed: made_up_report(ok=ok))
    assert main(["parity"]) == code
    assert main(["parity", "--json"]) == code
    out = capsys.readouterr().out
    assert json.loads(out[out.index("\n{") :])["ok"] is ok


def test_without_torch_the_command_is_one_line(monkeypatch, capsys):
    def missing(module, extra):
        raise ValueError(f"{module} is not installed; it comes with the extra {extra!r}")

    monkeypatch.setattr("minimobilebert.parity.run.require", missing)
    assert main(["parity"]) == 2
    assert "torch is not installed; it comes with the extra 'compare'" in capsys.readouterr().err


# With torch: the comparison holds


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("seed", [1, 2])
def test_a_dozen_small_models_agree_with_transformers(seed, backend):
    """All kinds, both types of numbers, three batches each, every tensor: the same functions as the command's."""
    need_compare()
    report = run(seed, small_models(seed))
    assert report["ok"], format_report(report)
    assert report["backend"] == backend
    for model in report["models"]:  # far inside the limits: a difference that grows shows before it fails
        for tensor in model["tensors"]:
            assert tensor["float64"] < 1e-11 and tensor["float32"] < 3e-4, (model["model"], tensor)


@pytest.mark.filterwarnings("ignore")
def test_activations_as_large_as_the_released_models_agree(backend):
    """The released model's last hidden state reaches 2.5e7 and goes raw into the next-sentence head."""
    need_compare()
    case = CASES["small 2"]
    assert (case.config.normalization_type, case.config.classifier_activation) == ("no_norm", False)
    params = random_weights(case.config, np.random.default_rng(1))
    last = case.config.num_hidden_layers - 1
    params[f"mobilebert.encoder.layer.{last}.output.bottleneck.LayerNorm.weight"] *= np.float32(1e7)
    batch = draw_batch(case, "two segments", np.random.default_rng(2))
    found = compare(params, case.config, batch, build_transformers_model(params, case.config))
    forward = run_minimobilebert(params, case.config, batch).forward
    for name in (f"hidden_states[{last + 1}]", "next_sentence_logits"):
        assert np.abs(forward[name]).max() > 1e6
    assert first_beyond(found, "float32") is None


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", _ACTIVATION_FROM_HF)
def test_each_activation_that_convert_accepts_is_transformers_own(name, dtype, backend):
    torch, transformers = need_compare()
    x = np.linspace(-9.0, 9.0, 1802).astype(dtype)  # 0, the kink, is not among them
    dy = np.random.default_rng(1).normal(size=x.shape).astype(dtype)
    forward, backward, *_ = ACTIVATIONS[_ACTIVATION_FROM_HF[name]]
    theirs = torch.tensor(x, requires_grad=True)
    output = transformers.activations.ACT2FN[name](theirs)
    output.backward(torch.tensor(dy))
    y, cache = forward(x)
    limit = {"float32": 2e-7, "float64": 1e-15}[dtype]
    assert relative_difference(y, output.detach().numpy()) < limit
    # 1 - tanh^2 is a small difference where tanh is nearly 1, and is then multiplied by x^2.
    assert relative_difference(backward(dy, cache), theirs.grad.numpy()) < 10 * limit


@pytest.mark.filterwarnings("ignore")
def test_transformers_gives_the_lookup_of_padding_no_gradient(backend):
    """The tied decoder still gives the row of [PAD] one; with padding_idx taken away the two agree in that row, too."""
    torch, _ = need_compare()
    case = CASES["small 1"]
    config, name = case.config, "mobilebert.embeddings.word_embeddings.weight"
    params = {k: v.astype(np.float64) for k, v in random_weights(config, np.random.default_rng(1)).items()}
    theirs = build_transformers_model(params, config).to(torch.float64)
    for variant, same in (("two segments", True), ("padding", False)):
        batch = draw_batch(case, variant, np.random.default_rng(2))
        ours, others = (
            run.gradients[name] for run in (run_minimobilebert(params, config, batch), run_transformers(theirs, batch))
        )
        assert others[0].any()
        assert (np.abs(ours[0] - others[0]).max() < 1e-12) == same
        np.testing.assert_allclose(ours[1:], others[1:], rtol=0, atol=1e-12)
    theirs.get_input_embeddings().padding_idx = None
    np.testing.assert_allclose(ours, run_transformers(theirs, batch).gradients[name], rtol=0, atol=1e-12)


@pytest.mark.filterwarnings("ignore")
def test_the_gradient_of_a_keys_bias_is_rounding_on_both_sides(backend):
    torch, _ = need_compare()
    case = CASES["small 1"]
    params = {k: v.astype(np.float64) for k, v in random_weights(case.config, np.random.default_rng(1)).items()}
    batch = draw_batch(case, "two segments", np.random.default_rng(2))
    theirs = run_transformers(build_transformers_model(params, case.config).to(torch.float64), batch).gradients
    ours = run_minimobilebert(params, case.config, batch).gradients
    name = "mobilebert.encoder.layer.0.attention.self.key."
    for gradients in (ours, theirs):
        assert np.abs(gradients[name + "bias"]).max() < 1e-13 * np.abs(gradients[name + "weight"]).max()


@pytest.mark.filterwarnings("ignore")
def test_transformers_has_an_epsilon_of_its_own_in_two_places(backend):
    """With 1e-12 in the configuration, its embeddings and last feed-forward still use 1e-5."""
    torch, _ = need_compare()
    case = next(c for c in CASES.values() if c.config.use_bottleneck and c.config.normalization_type == "layer_norm")
    params = {k: v.astype(np.float64) for k, v in random_weights(case.config, np.random.default_rng(1)).items()}
    batch = draw_batch(case, "two segments", np.random.default_rng(2))
    for epsilon, expected in ((1e-5, None), (1e-12, "hidden_states[0]")):
        config = case.config.replace(layer_norm_eps=epsilon)
        theirs = build_transformers_model(params, config).to(torch.float64)
        first = first_beyond(compare(params, config, batch, theirs), "float64")
        assert (first and first.name) == expected
    found = {name: m.eps for name, m in theirs.named_modules() if isinstance(m, torch.nn.LayerNorm)}
    layer = "mobilebert.encoder.layer.0"
    assert {n for n in found if found[n] == 1e-5 and n.startswith(layer)} == {f"{layer}.output.LayerNorm"}


# With torch: the comparison can fail, and names the first wrong tensor

_CONFIG = preset(
    "mobilebert", vocab_size=53, hidden_size=18, embedding_size=7, intra_bottleneck_size=12, intermediate_size=15,
    num_hidden_layers=3, num_attention_heads=3, max_position_embeddings=13, hidden_act="gelu",
    num_feedforward_networks=3, classifier_activation=True,
)  # fmt: skip
_MUTANT = Case("mutant", _CONFIG, 3, 11, False)
_LAYER = "mobilebert.encoder.layer.1."


def first_tensor(params=None, config=None, dtype="float64"):
    """The first tensor that diverges where our side has other parameters, another configuration or other code."""
    torch, _ = need_compare()
    original = random_weights(_CONFIG, np.random.default_rng(1))
    batch = draw_batch(_MUTANT, "padding", np.random.default_rng(2))
    batch = batch._replace(input_ids=np.where(batch.attention_mask, np.maximum(batch.input_ids, 1), 0).astype(np.int32))
    theirs = build_transformers_model(original, _CONFIG).to(getattr(torch, dtype))
    ours = {name: array.astype(dtype) for name, array in (params(dict(original)) if params else original).items()}
    first = first_beyond(compare(ours, config or _CONFIG, batch, theirs), dtype)
    return first and (first.name, first.kind)


def corrupt(name):
    def change(params):
        params[name] = params[name].copy()
        params[name].flat[1] += 0.01
        return params

    return change


@pytest.mark.filterwarnings("ignore")
def test_the_unchanged_model_does_not_diverge():
    assert first_tensor() is None


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("name", "tensor"),
    [
        ("mobilebert.embeddings.position_embeddings.weight", "hidden_states[0]"),
        ("mobilebert.embeddings.LayerNorm.bias", "hidden_states[0]"),
        (_LAYER + "attention.self.query.weight", "attention_maps[1]"),
        (_LAYER + "bottleneck.attention.LayerNorm.weight", "attention_maps[1]"),
        (_LAYER + "attention.self.value.bias", "hidden_states[2]"),
        (_LAYER + "ffn.1.output.dense.weight", "hidden_states[2]"),
        (_LAYER + "output.bottleneck.LayerNorm.bias", "hidden_states[2]"),
        ("cls.predictions.bias", "word_logits"),
        ("cls.predictions.dense.weight", "word_logits"),
        ("mobilebert.pooler.dense.bias", "next_sentence_logits"),
        ("cls.seq_relationship.weight", "next_sentence_logits"),
    ],
)
def test_one_number_changed_is_found_and_placed(name, tensor, dtype):
    assert first_tensor(corrupt(name), dtype=dtype) == (tensor, "forward")


def swap(first, second):
    def change(params):
        for name in [name for name in params if first in name]:
            other = name.replace(first, second)
            params[name], params[other] = params[other], params[name]
        return params

    return change


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("change", "tensor"),
    [
        (swap("layer.0.", "layer.1."), "attention_maps[0]"),
        (swap("layer.1.ffn.0.", "layer.1.ffn.1."), "hidden_states[2]"),
        (swap("layer.2.ffn.1.", "layer.2."), "hidden_states[3]"),
        (swap("layer.1.attention.self.query", "layer.1.attention.self.key"), "attention_maps[1]"),
        (swap("layer.2.bottleneck.input", "layer.2.bottleneck.attention"), "attention_maps[2]"),
    ],
)
def test_swapped_parts_are_found_and_placed(change, tensor):
    assert first_tensor(change) == (tensor, "forward")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("setting", "tensor"),
    [
        ({"hidden_act": "gelu_tanh"}, "hidden_states[1]"),
        ({"hidden_act": "relu"}, "hidden_states[1]"),
        ({"num_attention_heads": 2}, "attention_maps[0]"),
        ({"normalization_type": "layer_norm"}, "hidden_states[0]"),
        ({"layer_norm_eps": 1e-5}, "word_logits"),  # with NoNorm everywhere else, only this head has one
        ({"classifier_activation": False}, "next_sentence_logits"),
    ],
)
def test_a_wrong_setting_is_found_and_placed(setting, tensor):
    assert first_tensor(config=_CONFIG.replace(**setting)) == (tensor, "forward")


def scaled(position, factor):
    """A backward that gives `factor` times its gradient at `position`, and the others as they are."""

    def damage(backward):
        def wrong(*arguments, **ways):
            gradients = list(backward(*arguments, **ways))
            gradients[position] = factor * gradients[position]
            return tuple(gradients)

        return wrong

    return damage


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("module", "function", "wrong", "tensor"),
    [
        ("layers", "dense_nonorm_pair", scaled(4, 0.5), "encoder.layer.2.output.bottleneck.LayerNorm.weight"),
        ("layers", "dense_nonorm_pair", scaled(1, 1.001), "encoder.layer.2.output.bottleneck.dense.weight"),
        ("layers", "dense_nonorm_pair", scaled(0, 1.001), "encoder.layer.2.output.LayerNorm.bias"),
        ("layers", "nonorm_backward", scaled(0, 1.001), "embeddings.embedding_transformation.bias"),
        ("heads", "layernorm_backward", scaled(0, 1.001), "cls.predictions.transform.dense.bias"),
        ("self_attention", "attention_backward", scaled(0, 1.001), "encoder.layer.2.attention.self.query.bias"),
    ],
)
def test_a_wrong_backward_is_found_where_it_first_shows(monkeypatch, module, function, wrong, tensor):
    """The forward passes agree; among the gradients the topmost wrong one is named."""
    module = importlib.import_module(f"minimobilebert.model.{module}")
    right = getattr(module, function)
    changed = right._replace(backward=wrong(right.backward)) if function.endswith("pair") else wrong(right)
    monkeypatch.setattr(module, function, changed)
    name, kind = first_tensor()
    assert kind == "gradient" and name.endswith(tensor)


@pytest.mark.filterwarnings("ignore")
def test_the_second_use_of_the_word_table_is_not_forgotten(monkeypatch):
    original = minimobilebert.model.pretraining.masked_word_backward

    def without_tied_gradient(*arguments):
        dhidden, dwords = original(*arguments)
        return dhidden, np.zeros_like(dwords)

    monkeypatch.setattr(minimobilebert.model.pretraining, "masked_word_backward", without_tied_gradient)
    assert first_tensor() == ("mobilebert.embeddings.word_embeddings.weight", "gradient")


@pytest.mark.filterwarnings("ignore")
def test_a_divergence_reaches_the_report(monkeypatch):
    need_compare()
    pair = minimobilebert.model.fused_feed_forward.feed_forward_pair
    wrong = pair._replace(
        forward=lambda *arguments: pair.forward(*arguments[:-1], "relu")
    )  # the last is the activation
    monkeypatch.setattr("minimobilebert.model.fused_feed_forward.feed_forward_pair", wrong)
    part = check_case(_MUTANT, (1, 0))
    assert not part["ok"]
    assert (part["first"]["tensor"], part["first"]["dtype"], part["first"]["variant"]) == (
        "hidden_states[1]", "float64", "one segment",
    )  # fmt: skip
