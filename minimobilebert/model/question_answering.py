"""The question-answering model: it predicts the start and the end of the answer in the text.

    1. logits = dense(hidden)            [B, T, 2]    a start score and an end score per token
    2. L = 1/2 (CE(start scores, start) + CE(end scores, end))        mean over the batch, softmax over T tokens

As in the released code, the softmax runs over all positions, including padding, and a window without the answer has
the label (0, 0), the position of [CLS].
"""

from typing import Any, NamedTuple

import numpy as np

from .encoder import encoder_backward, encoder_forward
from .gradients import new_gradients
from .layers import dense, dense_backward
from .parts import WHOLE, weighted
from .pretraining import mean_cross_entropy

_NAME = "qa_outputs"


class QuestionAnsweringCache(NamedTuple):
    encoder: Any
    outputs: Any


def question_answering_forward(params, config, batch, rng=None):
    """batch with input_ids, token_type_ids, attention_mask [B, T] -> logits [B, T, 2], cache"""
    encoder, encoder_cache = encoder_forward(
        params, config, batch.input_ids, batch.token_type_ids, batch.attention_mask, rng=rng, keep_scores=False
    )
    logits, outputs = dense(params, _NAME, encoder.hidden_states[-1])
    return logits, QuestionAnsweringCache(encoder_cache, outputs)


def question_answering_backward(dlogits, cache, config):
    """dlogits [B, T, 2] -> gradients, a flat dict like the parameters"""
    grads = new_gradients()
    dhidden = dense_backward(dlogits, cache.outputs, grads, _NAME)
    encoder_backward({len(cache.encoder.blocks): dhidden}, cache.encoder, grads, config)
    return grads


def question_answering_step(params, config, batch, rng=None, shares=WHOLE):
    """batch also has starts, ends [B], token indices -> {"loss", "start_loss", "end_loss"}, gradients

    shares: those of the batch, if it is a part of one (parts.py)
    """
    logits, cache = question_answering_forward(params, config, batch, rng)
    (start_loss, dstart), (end_loss, dend) = (
        weighted(shares.examples, *mean_cross_entropy(np.ascontiguousarray(logits[..., column]), labels))
        for column, labels in enumerate((batch.starts, batch.ends))
    )
    dlogits = 0.5 * np.stack([dstart, dend], axis=-1)
    values = {"loss": 0.5 * (start_loss + end_loss), "start_loss": start_loss, "end_loss": end_loss}
    return values, question_answering_backward(dlogits, cache, config)
