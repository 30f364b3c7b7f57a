"""The graph of the page returns the attention maps beside what the other graphs return."""

import numpy as np
import pytest
from onnx_models import NEEDS_ONNX, NEEDS_RUNTIME, batches, parameters_of, random_config
from test_onnx_export import TOLERANCE, case

from minimobilebert.interop.onnx.comparison import Session, expected_outputs, relative_error
from minimobilebert.interop.onnx.folder import build
from minimobilebert.model.quantization import quantize

pytest.importorskip("onnx", reason=NEEDS_ONNX)
pytest.importorskip("onnxruntime", reason=NEEDS_RUNTIME)


@pytest.mark.parametrize("seed", range(10))
def test_the_attention_maps_are_ours(seed):
    arguments = case(seed)
    config = arguments[1]
    session = Session(build(*arguments, attention=True).SerializeToString())
    for batch in batches(config, np.random.default_rng(seed)):
        expected, found = expected_outputs(*arguments, batch, attention=True), session(batch)
        assert list(expected) == session.names and len(expected) > config.num_hidden_layers
        for name, array in expected.items():
            assert relative_error(found[name], array) < TOLERANCE, name
        np.testing.assert_allclose(found["attentions.0"].sum(-1), 1.0, atol=1e-5)


def test_in_8_bits_too():
    config = random_config(np.random.default_rng(3))
    params = quantize(parameters_of(config, None, 3), config)
    session = Session(build(params, config, attention=True).SerializeToString())
    *_, batch = batches(config, np.random.default_rng(3))
    expected = expected_outputs(params, config, None, None, batch, attention=True)
    assert max(relative_error(found, expected[name]) for name, found in session(batch).items()) < 0.05


def test_other_graphs_stay_as_they_are():
    arguments = case(1)
    names = Session(build(*arguments).SerializeToString()).names
    assert not [name for name in names if name.startswith("attentions")]
