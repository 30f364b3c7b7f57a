"""The pre-training model: encoder, masked-word head, next-sentence head, and the loss of BERT's pre-training.

loss = mean over masked words of -log p(word)  +  mean over pairs of -log p(is next / is random)
"""

import math
from typing import Any, NamedTuple

import numpy as np

from ..ops.cross_entropy import cross_entropy_backward, cross_entropy_forward
from .encoder import EncoderOutput, encoder_backward, encoder_forward
from .gradients import new_gradients
from .heads import masked_word_backward, masked_word_forward, pooler_backward, pooler_forward, words_name
from .layers import dense, dense_backward
from .parts import WHOLE, weighted

_NSP = "cls.seq_relationship"


class PretrainingOutput(NamedTuple):
    word_logits: np.ndarray  # [M, V]
    next_sentence_logits: np.ndarray  # [B, 2]; label 0 is "the next sentence", 1 "a random one"
    encoder: EncoderOutput


class PretrainingCache(NamedTuple):
    encoder: Any
    masked_positions: np.ndarray  # [M] flat positions b * T + t
    words: Any
    pooler: Any
    next_sentence: Any


def pretraining_forward(params, config, batch, rng=None, keep_scores=False):
    """batch: a PretrainingBatch; keep_scores True for attention transfer -> PretrainingOutput, cache"""
    encoder, encoder_cache = encoder_forward(
        params, config, batch.input_ids, batch.token_type_ids, batch.attention_mask, rng=rng, keep_scores=keep_scores
    )
    hidden = encoder.hidden_states[-1]
    masked = hidden.reshape(-1, hidden.shape[-1])[batch.masked_positions]
    word_logits, words = masked_word_forward(params, config, masked)
    pooled, pooler = pooler_forward(params, config, hidden)
    next_sentence_logits, next_sentence = dense(params, _NSP, pooled)
    output = PretrainingOutput(word_logits, next_sentence_logits, encoder)
    return output, PretrainingCache(encoder_cache, batch.masked_positions, words, pooler, next_sentence)


def pretraining_backward(dword_logits, dnext_sentence_logits, cache, config, *, dhidden_states=None, dscores=None):
    """dword_logits [M, V], dnext_sentence_logits [B, 2] -> gradients, a flat dict like the parameters

    dhidden_states, dscores: additional gradients of the encoder's outputs, as in `encoder_backward`
    """
    grads = new_gradients()
    dhidden = np.zeros_like(cache.encoder.output)
    flat = dhidden.reshape(-1, dhidden.shape[-1])
    flat[cache.masked_positions], dwords = masked_word_backward(dword_logits, cache.words, grads, config)
    dpooled = dense_backward(dnext_sentence_logits, cache.next_sentence, grads, _NSP)
    dhidden[:, 0] += pooler_backward(dpooled, cache.pooler, grads, config)
    dhidden_states, top = dict(dhidden_states or {}), len(cache.encoder.blocks)
    if top in dhidden_states:
        dhidden += dhidden_states[top]
    encoder_backward({**dhidden_states, top: dhidden}, cache.encoder, grads, config, dscores=dscores)
    # A tied word table is used twice, as the embedding and as the decoder. Its gradient is the sum of both.
    name = words_name(config)
    grads[name] = grads[name] + dwords if name in grads else dwords
    return grads


def mean_cross_entropy(logits, labels):
    """Mean of -log softmax(logits)[label] and its gradient; logits [M, V], labels [M] -> loss, dlogits [M, V]"""
    losses, cache = cross_entropy_forward(logits, labels)
    count = max(len(labels), 1)
    dlogits = cross_entropy_backward(np.full(losses.shape, 1.0 / count, losses.dtype), cache)
    return math.fsum(losses) / count, dlogits


def pretraining_step(params, config, batch, rng=None, shares=WHOLE):
    """Loss and gradients of plain pre-training -> {"loss", "mlm_loss", "nsp_loss"}, gradients

    shares: those of the batch, if it is a part of one (parts.py)
    """
    output, cache = pretraining_forward(params, config, batch, rng)
    mlm_loss, dwords = weighted(shares.words, *mean_cross_entropy(output.word_logits, batch.masked_labels))
    nsp_loss, dnext = weighted(
        shares.examples, *mean_cross_entropy(output.next_sentence_logits, batch.next_sentence_labels)
    )
    gradients = pretraining_backward(dwords, dnext, cache, config)
    return {"loss": mlm_loss + nsp_loss, "mlm_loss": mlm_loss, "nsp_loss": nsp_loss}, gradients
