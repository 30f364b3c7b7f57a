"""The same inputs for a graph and for this project: what an exported graph returns, and what it should. ONNX Runtime
computes the graph where it is installed, our interpreter where it is not.

The inputs are random: one text of one token, and two texts of which the shorter one is padded. The difference is
relative to the scale of a tensor, because the activations of the released MobileBERT reach 1e7:

    error = max |graph - ours| / max |ours|
"""

import importlib.util
from types import SimpleNamespace

import numpy as np

from ...model.classification import classification_forward
from ...model.encoder import encoder_forward
from ...model.heads import masked_word_forward, pooler_forward
from ...model.layers import dense
from ...model.question_answering import question_answering_forward
from ...ops.pooling import normalize_forward, pool_forward
from ...support.extras import require
from ..safetensors_files import InteropError
from .interpreter import run

_TOKENS = 32  # of the longer text


def has_runtime():
    """Whether ONNX Runtime is installed."""
    return importlib.util.find_spec("onnxruntime") is not None


def random_batches(config, seed=0):
    """Yields input_ids, token_type_ids [B, T] int64, attention_mask [B, T] bool: B, T = 1, 1, and 2, the longest"""
    rng, longest = np.random.default_rng(seed), min(_TOKENS, config.max_position_embeddings)
    for lengths in ([1], [longest, (longest + 1) // 2]):
        mask = np.arange(max(lengths)) < np.array(lengths)[:, None]
        ids = np.where(mask, rng.integers(0, config.vocab_size, mask.shape), 0)
        types = np.where(mask, rng.integers(0, config.type_vocab_size, mask.shape), 0)
        yield ids, types, mask


def expected_outputs(params, config, head, sentence, batch, attention=False):
    """What the model returns for a batch of `random_batches`, computed by model/ -> {name: array}"""
    ids, types, mask = batch
    encoded, _ = encoder_forward(params, config, ids, types, mask, keep_scores=False)
    hidden = encoded.hidden_states[-1]
    found = {}
    if head is None or sentence:
        found["last_hidden_state"] = hidden
    if sentence:
        vectors = pool_forward(hidden, mask, sentence.pooling)[0]
        found["sentence_embedding"] = normalize_forward(vectors)[0] if sentence.normalize else vectors
    inputs = SimpleNamespace(input_ids=ids, token_type_ids=types, attention_mask=mask)
    if head in ("masked-words", "pretraining"):
        logits = masked_word_forward(params, config, hidden.reshape(-1, config.hidden_size))[0]
        found["logits"] = logits.reshape(*ids.shape, -1)
    if head == "pretraining":
        pooled = pooler_forward(params, config, hidden)[0]
        found["seq_relationship_logits"] = dense(params, "cls.seq_relationship", pooled)[0]
    elif head == "classification":
        found["logits"] = classification_forward(params, config, inputs)[0]
    elif head == "question-answering":
        logits = question_answering_forward(params, config, inputs)[0]
        found |= {"start_logits": logits[..., 0], "end_logits": logits[..., 1]}
    if attention:
        found |= {f"attentions.{layer}": maps for layer, maps in enumerate(encoded.attention_maps)}
    return found


def inputs_of(batch):
    """A batch of `random_batches` as the inputs of a graph -> {name: array}"""
    ids, types, mask = (np.asarray(array, np.int64) for array in batch)
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}


class Interpreted:
    """A Graph in our interpreter: `interpreted({name: array})` -> {name: array}"""

    def __init__(self, graph):
        self._graph, self.names = graph, list(graph.outputs)

    def __call__(self, given):
        with np.errstate(all="ignore"):  # an overflow is an infinity in the result, and no warning
            return run(self._graph, given)


class Session:
    """A serialised model in ONNX Runtime, on one processor core: `session({name: array})` -> {name: array}"""

    def __init__(self, serialised):
        runtime = require("onnxruntime", "compare")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = runtime.InferenceSession(serialised, options, providers=["CPUExecutionProvider"])
        self.names = [output.name for output in self._session.get_outputs()]

    def __call__(self, given):
        return dict(zip(self.names, self._session.run(self.names, given), strict=True))


def relative_error(found, expected):
    """max |found - expected| / max |expected|, for arrays of one shape; infinity if one of them is not finite"""
    if found.shape != expected.shape:
        raise InteropError(f"graph: found an output of shape {found.shape}, expected {expected.shape}")
    if not (np.isfinite(found).all() and np.isfinite(expected).all()):
        return float("inf")
    scale, largest = np.abs(expected).max(initial=0.0), np.abs(found - expected).max(initial=0.0)
    return float(largest / scale) if scale else float(largest)


def largest_errors(session, params, config, head, sentence, attention=False):
    """The largest relative error of each output over all batches; session: an Interpreted or a Session -> {name: float}

    InteropError if the model itself returns a NaN or an infinity, with which nothing can be compared.
    """
    errors = {}
    for batch in random_batches(config):
        expected = expected_outputs(params, config, head, sentence, batch, attention)
        found = session(inputs_of(batch))
        for name in session.names:
            if not np.isfinite(expected[name]).all():
                raise InteropError(f"model: {name}: found NaN or infinity for random inputs, expected finite numbers")
            errors[name] = max(errors.get(name, 0.0), relative_error(found[name], expected[name]))
    return errors


def rounding_error(params, config, head, sentence):
    """The largest relative error of the model in float32, beside itself in float64: what its activations amplify"""
    exact, largest = {name: array.astype(np.float64) for name, array in params.items()}, 0.0
    for batch in random_batches(config):
        found, expected = (expected_outputs(each, config, head, sentence, batch) for each in (params, exact))
        largest = max(largest, *(relative_error(found[name], expected[name]) for name in expected))
    return largest
