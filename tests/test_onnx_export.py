"""Export to ONNX: ONNX Runtime computes from our graphs what this project computes, for every kind of model."""

import numpy as np
import pytest
from onnx_models import HEADS, NEEDS_ONNX, NEEDS_RUNTIME, batches, parameters_of, random_config

from minimobilebert.interop.onnx.comparison import Session, expected_outputs, relative_error
from minimobilebert.interop.onnx.folder import build
from minimobilebert.model.sentence_settings import SentenceSettings

onnx = pytest.importorskip("onnx", reason=NEEDS_ONNX)
pytest.importorskip("onnxruntime", reason=NEEDS_RUNTIME)

TOLERANCE = 1e-4  # of a tensor's scale: float32 in another order of summation
POOLINGS = ("mean", "cls", "max")


def case(seed):
    """A random model -> parameters, ModelConfig, head, SentenceSettings or None"""
    rng = np.random.default_rng(seed)
    config, head = random_config(rng), HEADS[seed % len(HEADS)]
    sentence = SentenceSettings(POOLINGS[seed % 3], bool(seed % 2)) if rng.random() < 0.5 else None
    return parameters_of(config, head, seed), config, head, sentence


def errors_of(model, arguments, seed=0):
    """{output: largest relative error} over batches of one token, of the longest text, and of padded texts"""
    session, errors = Session(model.SerializeToString()), {}
    for batch in batches(arguments[1], np.random.default_rng(seed)):
        expected, found = expected_outputs(*arguments, batch), session(batch)
        assert list(expected) == session.names
        for name, array in expected.items():
            errors[name] = max(errors.get(name, 0.0), relative_error(found[name], array))
    return errors


@pytest.mark.parametrize("seed", range(40))
def test_a_random_model_is_the_same_in_onnx_runtime(seed):
    arguments = case(seed)
    model = build(*arguments)
    onnx.checker.check_model(model, full_check=True)
    assert max(errors_of(model, arguments, seed).values()) < TOLERANCE


def test_the_random_models_have_everything():
    """Each switch is on and off among them; otherwise the test above proves less than it says."""
    cases = [case(seed) for seed in range(40)]
    for field in ("use_bottleneck", "bottleneck_attention", "key_query_shared_bottleneck", "trigram_input", "hidden_act",
                  "normalization_type", "classifier_activation", "tie_word_embeddings", "type_vocab_size",
                  "num_feedforward_networks", "has_embedding_transformation"):  # fmt: skip
        found = {getattr(config, field) for _, config, _, _ in cases}
        assert len(found) >= (3 if field in ("hidden_act", "num_feedforward_networks", "type_vocab_size") else 2), field
    assert {head for _, _, head, _ in cases} == set(HEADS)
    assert {sentence.pooling for *_, sentence in cases if sentence} == set(POOLINGS)
    wide = [config for _, config, _, _ in cases if config.use_bottleneck]
    assert any(not c.bottleneck_attention and not c.key_query_shared_bottleneck for c in wide)
    assert any(c.embedding_size != c.hidden_size and not c.trigram_input for _, c, _, _ in cases)
    assert {len(params["classifier.bias"]) for params, _, head, _ in cases if head == "classification"} == {1, 2, 3}
