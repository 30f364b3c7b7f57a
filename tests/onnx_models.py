"""Random models, batches and graphs that the tests of the ONNX export share."""

import numpy as np
import pytest
from fine_tuning_data import WORDS
from tiny_models import random_parameters

from minimobilebert.config import ModelConfig
from minimobilebert.interop.onnx.comparison import Interpreted, Session, expected_outputs, inputs_of, relative_error
from minimobilebert.interop.onnx.file_format import as_model
from minimobilebert.model.quantization import is_dense_name, quantize
from minimobilebert.model.sentence_settings import SentenceSettings
from minimobilebert.ops.quantized_linear import SCALES
from minimobilebert.text.wordpiece import SPECIAL_TOKENS, WordPieceTokenizer
from minimobilebert.training.model_folder import save_model

NEEDS_ONNX = "needs the extra interop: make setup EXTRAS=interop"
NEEDS_RUNTIME = "needs the extra compare: make setup EXTRAS=compare,interop"
TOLERANCE = 1e-4  # of a tensor's scale: float32 in another order of summation
POOLINGS = ("mean", "cls", "max")
HEADS = (None, "pretraining", "masked-words", "classification", "question-answering")
TOKENIZER = WordPieceTokenizer([*SPECIAL_TOKENS, *WORDS, "##s", "a", "##b"])


def random_config(rng):
    """A ModelConfig of either family: all switches by chance, all widths different where they may be"""
    heads = int(rng.integers(1, 4))
    bottleneck, trigram = rng.random() < 0.6, rng.random() < 0.5
    hidden = heads * int(rng.integers(4, 9))
    return ModelConfig(
        vocab_size=TOKENIZER.vocab_size,
        hidden_size=hidden,
        embedding_size=hidden if rng.random() < 0.4 else int(rng.integers(1, hidden)),
        intra_bottleneck_size=heads * int(rng.integers(2, 6)),
        intermediate_size=int(rng.integers(3, 30)),
        num_hidden_layers=int(rng.integers(1, 4)),
        num_attention_heads=heads,
        num_feedforward_networks=int(rng.integers(1, 4)),
        use_bottleneck=bool(bottleneck),
        bottleneck_attention=bool(bottleneck and rng.random() < 0.4),
        key_query_shared_bottleneck=bool(bottleneck and rng.random() < 0.5),
        trigram_input=bool(trigram),
        normalization_type=str(rng.choice(["no_norm", "layer_norm"])),
        hidden_act=str(rng.choice(["relu", "gelu", "gelu_tanh"])),
        classifier_activation=bool(rng.random() < 0.5),
        tie_word_embeddings=bool(rng.random() < 0.7),
        max_position_embeddings=int(rng.integers(3, 20)),
        type_vocab_size=int(rng.integers(1, 4)),
        initializer_range=0.3,
        layer_norm_eps=float(rng.choice([1e-12, 1e-5])),
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )


def parameters_of(config, head, seed=0):
    """Random float32 parameters; a classification has 1 to 3 outputs: 1 is a regression"""
    return random_parameters(config, np.random.default_rng(seed), head, 1 + seed % 3, np.float32)


def write_model(folder, config, head=None, sentence=None, labels=None, seed=0):
    """A model folder with random weights -> its path, a str"""
    save_model(folder, parameters_of(config, head, seed), config, TOKENIZER, labels, sentence)
    return str(folder)


def batches(config, rng):
    """Yields ids, token types, mask: one token, the longest text, and padded texts of several lengths"""
    longest = config.max_position_embeddings
    for lengths in ([1], [longest], [longest, 1, int(rng.integers(1, longest + 1))]):
        mask = np.arange(max(lengths)) < np.array(lengths)[:, None]
        ids = np.where(mask, rng.integers(0, config.vocab_size, mask.shape), 0)
        yield ids, np.where(mask, rng.integers(0, config.type_vocab_size, mask.shape), 0), mask


def case(seed):
    """A random model -> parameters, ModelConfig, head, SentenceSettings or None"""
    rng = np.random.default_rng(seed)
    config, head = random_config(rng), HEADS[seed % len(HEADS)]
    sentence = SentenceSettings(POOLINGS[seed % 3], bool(seed % 2)) if rng.random() < 0.5 else None
    return parameters_of(config, head, seed), config, head, sentence


def quantized_case(seed):
    """`case` in 8 bits; every second one has one scale for a whole weight, every third one given ranges"""
    params, config, head, sentence = case(seed)
    ranges = {name: np.float32(2.5) for name in params if is_dense_name(name, config.prefix)} if seed % 3 == 2 else None
    return quantize(params, config, SCALES[seed % 2], ranges), config, head, sentence


def onnx_runtime(graph):
    """A Graph in ONNX Runtime -> Session"""
    pytest.importorskip("onnx", reason=NEEDS_ONNX)
    pytest.importorskip("onnxruntime", reason=NEEDS_RUNTIME)
    return Session(as_model(graph, "model").SerializeToString())


in_each_runtime = pytest.mark.parametrize("session_of", [Interpreted, onnx_runtime])  # each takes a Graph


def errors_of(session, arguments, seed=0):
    """{output: largest relative error} over `batches`; session: an Interpreted or a Session"""
    errors = {}
    for batch in batches(arguments[1], np.random.default_rng(seed)):
        expected, found = expected_outputs(*arguments, batch), session(inputs_of(batch))
        assert list(expected) == session.names
        for name, array in expected.items():
            errors[name] = max(errors.get(name, 0.0), relative_error(found[name], array))
    return errors
