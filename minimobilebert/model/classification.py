"""Fine-tuning models for whole texts: encoder, pooler, dropout, and one dense layer, the classifier.

    classification    num_labels outputs    loss = mean of -log softmax(logits)[label]
    regression        1 output              loss = mean of (logit - label)^2

Both are the same model and differ only in the loss.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from ..ops.dropout import dropout_backward, dropout_forward
from .encoder import encoder_backward, encoder_forward
from .gradients import new_gradients
from .heads import pooler_backward, pooler_forward
from .layers import dense, dense_backward
from .parts import WHOLE, weighted
from .pretraining import mean_cross_entropy


class ClassificationCache(NamedTuple):
    encoder: Any
    pooler: Any
    dropout: Any
    classifier: Any


def classification_forward(params, config, batch, rng=None):
    """batch: a ClassificationBatch -> logits [B, num_labels], cache"""
    encoder, encoder_cache = encoder_forward(
        params, config, batch.input_ids, batch.token_type_ids, batch.attention_mask, rng=rng, keep_scores=False
    )
    pooled, pooler = pooler_forward(params, config, encoder.hidden_states[-1])
    pooled, dropout = dropout_forward(pooled, config.hidden_dropout_prob, rng)
    logits, classifier = dense(params, "classifier", pooled)
    return logits, ClassificationCache(encoder_cache, pooler, dropout, classifier)


def classification_backward(dlogits, cache, config):
    """dlogits [B, num_labels] -> gradients, a flat dict like the parameters"""
    grads = new_gradients()
    dpooled = dropout_backward(dense_backward(dlogits, cache.classifier, grads, "classifier"), cache.dropout)
    dhidden = np.zeros_like(cache.encoder.output)
    dhidden[:, 0] = pooler_backward(dpooled, cache.pooler, grads, config)
    encoder_backward({len(cache.encoder.blocks): dhidden}, cache.encoder, grads, config)
    return grads


def classification_loss(logits, labels, shares):
    """logits [B, num_labels], labels [B] classes -> {"loss", "accuracy"}, dlogits

    shares: those of the batch, if it is a part of one (parts.py)
    """
    loss, dlogits = weighted(shares.examples, *mean_cross_entropy(logits, labels))
    return {"loss": loss, "accuracy": shares.examples * float((logits.argmax(axis=-1) == labels).mean())}, dlogits


def regression_loss(logits, labels, shares):
    """logits [B, 1], labels [B] floats -> {"loss"} (mean squared error), dlogits; shares as above"""
    error = logits - np.asarray(labels, logits.dtype)[:, None]
    loss = math.fsum((error * error).reshape(-1)) / error.size
    loss, dlogits = weighted(shares.examples, loss, error * logits.dtype.type(2.0 / error.size))
    return {"loss": loss}, dlogits


def classification_step(params, config, batch, rng=None, shares=WHOLE):
    """Loss and gradients of fine-tuning -> {"loss", "accuracy"}, gradients"""
    logits, cache = classification_forward(params, config, batch, rng)
    losses, dlogits = classification_loss(logits, batch.labels, shares)
    return losses, classification_backward(dlogits, cache, config)


def regression_step(params, config, batch, rng=None, shares=WHOLE):
    """`classification_step` for regression: `classifier` has one output, and labels [B] are floats

    -> {"loss"}, gradients
    """
    logits, cache = classification_forward(params, config, batch, rng)
    losses, dlogits = regression_loss(logits, batch.labels, shares)
    return losses, classification_backward(dlogits, cache, config)
