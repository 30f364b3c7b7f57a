"""Classification of sentence vectors: a text is judged by its vector, a pair by comparing the vectors of its two texts.

A classifier (classification.py) reads the vector of [CLS], and both texts of a pair in one sequence, so that attention
can compare word with word. A sentence encoder has learned neither: it knows where the mean of a text's tokens points.
Here it is fine-tuned as it is used. For pairs this is called a bi-encoder (Reimers and Gurevych, 2019,
"Sentence-BERT"); the two texts pass through the same encoder.

    1. h = encoder(texts)                              [B, T, H], or [2B, T, H]: all first texts, then all second ones
    2. n = sqrt(H) p / |p|,  p = pool(h)               [B, H], or [2B, H]; ops/pooling.py; entries of size 1
    3. f = n                                           [B, H] for single texts
       f = [|u - v|, u * v],  u, v = n[:B], n[B:]      [B, 2H] for pairs
    4. logits = f W^T + b                              [B, num_labels]

The mean of u * v is the cosine of the two vectors, so a regression of pairs starts as a line from the lowest label, at
cosine 0, to the highest, at cosine 1 (`cosine_line`). The losses are those of classification.py.

Backward, from df = dL/df:

    3. dn = df                                         for single texts
       du = sign(u - v) df[:, :H] + v df[:, H:]        for pairs; sign(0) = 0, as for ReLU at 0
       dv = u df[:, H:] - sign(u - v) df[:, :H]
    2. dp = backward of the normalisation at sqrt(H) dn, dh = backward of the pooling
"""

import math
from typing import Any, NamedTuple

import numpy as np

from ..ops.pooling import normalize_backward, normalize_forward, pool_backward, pool_forward
from .classification import classification_loss, regression_loss
from .encoder import encoder_backward, encoder_forward
from .gradients import new_gradients
from .layers import dense, dense_backward
from .parameters import VECTOR_CLASSIFIER, VECTOR_PAIR_CLASSIFIER
from .parts import WHOLE


class EncoderInput(NamedTuple):
    input_ids: np.ndarray  # [B, T] int32, or [2B, T] for pairs
    token_type_ids: np.ndarray  # the same shape, all 0
    attention_mask: np.ndarray  # the same shape, bool


class VectorClassificationCache(NamedTuple):
    encoder: Any
    pooling: Any
    normalization: Any
    n: np.ndarray  # [B, H] or [2B, H]
    name: str  # of the classifier
    classifier: Any


def _padded(ids, keep, pad_id, positions):
    """The kept ids of each row, then padding; ids [B, T], keep [B, T] bool -> EncoderInput

    Trigrams (ops/trigram.py) read the padding behind [SEP]. There is some behind every text but those that fill all
    positions, so no text depends on the others of its batch.
    """
    lengths = keep.sum(axis=1)
    mask = np.arange(min(lengths.max() + 1, positions)) < lengths[:, None]
    padded = np.full(mask.shape, pad_id, np.int32)
    padded[mask] = ids[keep]
    return EncoderInput(padded, np.zeros_like(padded), mask)


def texts_apart(batch, pad_id, positions):
    """A batch of B pairs, [CLS] a [SEP] b [SEP] -> EncoderInput of 2B texts, [CLS] a [SEP] and then [CLS] b [SEP]"""
    second = batch.attention_mask & (batch.token_type_ids == 1)
    keep = np.concatenate([batch.attention_mask & ~second, second])
    keep[:, 0] = True  # [CLS] is for both
    return _padded(np.concatenate([batch.input_ids, batch.input_ids]), keep, pad_id, positions)


def _classifier(params):
    """The name of the model's classifier, and whether it is one for pairs"""
    pairs = f"{VECTOR_PAIR_CLASSIFIER}.weight" in params
    return VECTOR_PAIR_CLASSIFIER if pairs else VECTOR_CLASSIFIER, pairs


def encoder_input(params, config, batch, pad_id):
    """A ClassificationBatch -> what the encoder of a model with these parameters reads"""
    if _classifier(params)[1]:
        return texts_apart(batch, pad_id, config.max_position_embeddings)
    return _padded(batch.input_ids, batch.attention_mask, pad_id, config.max_position_embeddings)


def comparison_forward(n):
    """Step 3 for pairs: n [2B, H] -> f [B, 2H]"""
    u, v = np.split(n, 2)
    return np.concatenate([np.abs(u - v), u * v], axis=1)


def comparison_backward(df, n):
    """df [B, 2H], n [2B, H] -> dn [2B, H]"""
    u, v = np.split(n, 2)
    ddifference, dproduct = np.split(df, 2, axis=1)
    ddifference = np.sign(u - v) * ddifference
    return np.concatenate([ddifference + v * dproduct, u * dproduct - ddifference])


def _root(n):
    """sqrt(H), in the type of n"""
    return n.dtype.type(math.sqrt(n.shape[1]))


def classified_vectors(params, hidden, mask, pooling):
    """Steps 2 to 4: hidden [B or 2B, T, H], mask [B or 2B, T] -> logits [B, num_labels], the caches of the steps"""
    vectors, pooled = pool_forward(hidden, mask, pooling)  # step 2
    n, normalization = normalize_forward(vectors)
    n = n * _root(n)
    name, pairs = _classifier(params)
    logits, classifier = dense(params, name, comparison_forward(n) if pairs else n)  # steps 3 and 4
    return logits, (pooled, normalization, n, name, classifier)


def vector_classification_forward(params, config, batch, rng=None, *, pooling, pad_id):
    """batch: a ClassificationBatch; pooling: one of ops/pooling.py -> logits [B, num_labels], cache"""
    texts = encoder_input(params, config, batch, pad_id)
    encoder, encoder_cache = encoder_forward(params, config, *texts, rng=rng, keep_scores=False)
    logits, caches = classified_vectors(params, encoder.hidden_states[-1], texts.attention_mask, pooling)
    return logits, VectorClassificationCache(encoder_cache, *caches)


def vector_classification_backward(dlogits, cache, config):
    """dlogits [B, num_labels] -> gradients, a flat dict like the parameters"""
    grads = new_gradients()
    df = dense_backward(dlogits, cache.classifier, grads, cache.name)  # step 4
    dn = comparison_backward(df, cache.n) if cache.name == VECTOR_PAIR_CLASSIFIER else df  # step 3
    dvectors = normalize_backward(dn * _root(dn), cache.normalization)  # step 2
    dhidden = pool_backward(dvectors, cache.pooling)
    encoder_backward({len(cache.encoder.blocks): dhidden}, cache.encoder, grads, config)
    return grads


def vector_classification_step(params, config, batch, rng=None, shares=WHOLE, *, pooling, pad_id):
    """`classification_step` of sentence vectors -> {"loss", "accuracy"}, gradients"""
    logits, cache = vector_classification_forward(params, config, batch, rng, pooling=pooling, pad_id=pad_id)
    losses, dlogits = classification_loss(logits, batch.labels, shares)
    return losses, vector_classification_backward(dlogits, cache, config)


def vector_regression_step(params, config, batch, rng=None, shares=WHOLE, *, pooling, pad_id):
    """`regression_step` of sentence vectors -> {"loss"}, gradients"""
    logits, cache = vector_classification_forward(params, config, batch, rng, pooling=pooling, pad_id=pad_id)
    losses, dlogits = regression_loss(logits, batch.labels, shares)
    return losses, vector_classification_backward(dlogits, cache, config)


def cosine_line(shape, labels, dtype=np.float32):
    """W and b with which the logit of a pair is a line in its cosine -> weight [1, 2H], bias [1]

        cosine 0 -> the lowest label, cosine 1 -> the highest

    shape: (1, 2H); labels: floats, those of the training rows
    """
    weight, features = np.zeros(shape, dtype), shape[1] // 2
    lowest, highest = float(labels.min()), float(labels.max())
    weight[:, features:] = (highest - lowest) / features  # the cosine is the mean of u * v
    return weight, np.full(shape[0], lowest, dtype)
