"""The graph of the page returns the attention maps beside what the other graphs return."""

import numpy as np
import pytest
from onnx_models import TOLERANCE, batches, case, in_each_runtime, parameters_of, random_config

from minimobilebert.interop.onnx.comparison import expected_outputs, inputs_of, relative_error
from minimobilebert.interop.onnx.folder import build
from minimobilebert.model.quantization import quantize


@in_each_runtime
@pytest.mark.parametrize("seed", range(10))
def test_the_attention_maps_are_ours(seed, session_of):
    arguments = case(seed)
    config = arguments[1]
    session = session_of(build(*arguments, attention=True))
    for batch in batches(config, np.random.default_rng(seed)):
        expected, found = expected_outputs(*arguments, batch, attention=True), session(inputs_of(batch))
        assert list(expected) == session.names and len(expected) > config.num_hidden_layers
        for name, array in expected.items():
            assert relative_error(found[name], array) < TOLERANCE, name
        np.testing.assert_allclose(found["attentions.0"].sum(-1), 1.0, atol=1e-5)


@in_each_runtime
def test_in_8_bits_too(session_of):
    config = random_config(np.random.default_rng(3))
    params = quantize(parameters_of(config, None, 3), config)
    session = session_of(build(params, config, attention=True))
    *_, batch = batches(config, np.random.default_rng(3))
    expected = expected_outputs(params, config, None, None, batch, attention=True)
    assert max(relative_error(found, expected[name]) for name, found in session(inputs_of(batch)).items()) < 0.05


def test_other_graphs_stay_as_they_are():
    assert not [name for name in build(*case(1)).outputs if name.startswith("attentions")]
