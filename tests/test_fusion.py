"""Without fused operations a model computes the same numbers, and computes them with the single operations of ops/."""

import numpy as np
import pytest
from tiny_models import CONFIGS, random_batch, random_parameters

from minimobilebert import config
from minimobilebert.inference.engine import Engine
from minimobilebert.interop import hf_config
from minimobilebert.kernels.gemm import epilogue
from minimobilebert.model import layers
from minimobilebert.model.pretraining import pretraining_step
from minimobilebert.ops.activations import ACTIVATIONS
from minimobilebert.ops.fusion import fused, use_fusion


def step(name, dtype=np.float64, dropout=0.0):
    model = CONFIGS[name].replace(hidden_dropout_prob=dropout)
    params = random_parameters(model, np.random.default_rng(1), dtype=dtype)
    batch = random_batch(model, np.random.default_rng(2))
    return pretraining_step(params, model, batch, np.random.default_rng(3) if dropout else None)


@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("name", CONFIGS)
def test_losses_and_gradients_are_the_same(backend, name, dropout):
    losses, gradients = step(name, dropout=dropout)
    with use_fusion(False):
        plain_losses, plain = step(name, dropout=dropout)
    assert plain_losses == pytest.approx(losses, rel=1e-12)
    assert set(plain) == set(gradients)
    for key, gradient in gradients.items():  # the same sums in another order
        np.testing.assert_allclose(plain[key], gradient, rtol=0, atol=1e-11 * max(1.0, np.abs(gradient).max()))


@pytest.mark.parametrize("operation", ["linear_forward", "linear_backward", "nonorm_forward", "nonorm_backward",
                                       "relu_forward", "relu_backward"])  # fmt: skip
def test_a_wrong_operation_changes_what_a_model_computes(operation, monkeypatch):
    """With fusion the model never calls most of these by themselves."""
    with use_fusion(False):
        right = step("mobilebert")

    def wrong(function):
        def doubled(*args, **kwargs):
            result = function(*args, **kwargs)
            return (1.5 * result[0], *result[1:]) if isinstance(result, tuple) else 1.5 * result

        return doubled

    if operation.startswith("relu"):
        pair = ACTIVATIONS["relu"]
        field = operation.removeprefix("relu_")
        monkeypatch.setitem(ACTIVATIONS, "relu", pair._replace(**{field: wrong(getattr(pair, field))}))
    else:
        monkeypatch.setattr(layers, operation, wrong(getattr(layers, operation)))
    with use_fusion(False):
        losses, gradients = step("mobilebert")
    name = "mobilebert.encoder.layer.0.attention.self.value.weight"
    assert not np.allclose(gradients[name], right[1][name], rtol=1e-3)
    assert operation.endswith("backward") or losses != right[0]


def test_the_engine_falls_back_to_the_encoder(monkeypatch):
    config = CONFIGS["mobilebert"]
    params = random_parameters(config, np.random.default_rng(1))
    ids = np.ones((2, 5), np.int32)
    engine = Engine(params, config)
    with use_fusion(False):
        found = engine(ids, 0 * ids, ids > 0)
    assert not engine._packed
    np.testing.assert_allclose(Engine(params, config)(ids, 0 * ids, ids > 0), found, rtol=1e-9)


def test_the_choice_lasts_as_long_as_its_block():
    assert fused()
    with use_fusion(False):
        assert not fused()
    assert fused()


def test_all_lists_have_the_same_activations():
    assert tuple(ACTIVATIONS) == config.ACTIVATIONS == tuple(epilogue.ACTIVATIONS)
    assert {name for name, each in ACTIVATIONS.items() if each.from_output} == set(epilogue.FROM_OUTPUT)
    assert set(hf_config._ACTIVATION_FROM_HF.values()) == set(hf_config._ACTIVATION_TO_HF) == set(ACTIVATIONS)
