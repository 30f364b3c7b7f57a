"""Everything that an encoder can learn from another one, in one loss.

    L = 1/P sum over the pairs of layers of
            feature_factor * feature-map transfer + attention_factor * attention transfer
            + relation_factor * relation transfer
        + embedding_factor  * feature-map transfer of the embedding outputs
        + direction_factor  * directions of the sentence vectors
        + similarity_factor * similarities of the sentence vectors
        + words_factor      * distillation of masked words

A term with factor 0 is not computed. A pair (l, m) compares layer l of the student with layer m of the teacher, so that
a student can have fewer layers. All terms share one forward pass of each model.
"""

from typing import NamedTuple

from ..model.encoder import encoder_backward, encoder_forward
from ..model.gradients import new_gradients
from ..model.parts import WHOLE
from ..ops.pooling import pool_backward, pool_forward
from .attention_transfer import attention_transfer_backward, attention_transfer_forward
from .feature_map_transfer import feature_map_transfer_backward, feature_map_transfer_forward
from .layer_transfer import FEATURE_LOSSES
from .masked_word_distillation import add_words, masked_word_distillation
from .relation_transfer import relation_transfer_backward, relation_transfer_forward
from .sentence_vector_transfer import (
    direction_transfer_backward,
    direction_transfer_forward,
    similarity_transfer_backward,
    similarity_transfer_forward,
)


class EncoderTransfer(NamedTuple):
    """Which terms the loss has."""

    pairs: tuple  # of (layer of the student, layer of the teacher), counted from 0
    feature_loss: str = "paper"  # a key of FEATURE_LOSSES
    feature_factor: float = 0.0
    attention_factor: float = 0.0
    relation_factor: float = 0.0
    relation_heads: int = 1
    embedding_factor: float = 0.0
    direction_factor: float = 0.0
    similarity_factor: float = 0.0
    pooling: str = "mean"  # a mode of ops/pooling.py
    words_factor: float = 0.0
    words_alpha: float = 0.5  # weight of the labels beside the teacher's predictions

    @property
    def reads_output(self):
        """True if a term needs the last layers of both models."""
        return bool(self.direction_factor or self.similarity_factor or self.words_factor)

    @property
    def reads_layers(self):
        """True if a term compares layers."""
        return bool(self.feature_factor or self.attention_factor or self.relation_factor)

    @property
    def only_vectors(self):
        """True if no term reads more of the teacher than its sentence vectors."""
        return not (self.reads_layers or self.embedding_factor or self.words_factor)


class EncoderGradients(NamedTuple):
    """What goes into the student's `encoder_backward`."""

    hidden_states: dict  # {index into hidden_states: [B, T, H]}
    scores: dict  # {layer: [B, A, T, T]}
    projections: dict  # {layer: Projections}

    def add_hidden(self, index, gradient):
        """Add to the gradient of a hidden state: several terms may read the same one."""
        known = self.hidden_states.get(index)
        self.hidden_states[index] = gradient if known is None else known + gradient


class _Losses:
    """The sum of the terms, and the value of each."""

    def __init__(self):
        self.values = {"loss": 0.0}

    def add(self, name, value, factor):
        """factor: the weight in the sum"""
        self.values[name] = value
        self.values["loss"] += factor * value


def _layer_losses(student, teacher, mask, transfer, pair, gradients, weight):
    """The terms of one pair of layers -> {name: loss}; adds their gradients, times `weight` over the number of pairs"""
    layer, of_teacher = pair
    share, found = weight / len(transfer.pairs), {}
    if transfer.feature_factor:
        forward, backward = FEATURE_LOSSES[transfer.feature_loss]
        loss, cache = forward(student.hidden_states[layer + 1], teacher.hidden_states[of_teacher + 1], mask)
        gradients.add_hidden(layer + 1, backward(share * transfer.feature_factor, cache))
        found["feature_map_transfer"] = loss
    if transfer.attention_factor:
        scores, target = student.attention_scores[layer], teacher.attention_scores[of_teacher]
        loss, cache = attention_transfer_forward(scores, target, mask)
        gradients.scores[layer] = attention_transfer_backward(share * transfer.attention_factor, cache)
        found["attention_transfer"] = loss
    if transfer.relation_factor:
        projections, target = student.projections[layer], teacher.projections[of_teacher]
        loss, cache = relation_transfer_forward(projections, target, mask, transfer.relation_heads)
        gradients.projections[layer] = relation_transfer_backward(share * transfer.relation_factor, cache)
        found["relation_transfer"] = loss
    return found


def _vector_losses(student, target, mask, transfer, gradients, shares):
    """The terms of the sentence vectors; yields (name, loss, factor) and adds their gradients

    student: EncoderOutput; target [B, H']: the teacher's vectors
    """
    vectors, pooling = pool_forward(student.hidden_states[-1], mask, transfer.pooling)
    top = len(student.hidden_states) - 1
    if factor := transfer.direction_factor:
        loss, cache = direction_transfer_forward(vectors, target)
        dvectors = direction_transfer_backward(shares.examples * factor, cache)
        gradients.add_hidden(top, pool_backward(dvectors, pooling))
        yield "sentence_directions", shares.examples * loss, factor
    if factor := transfer.similarity_factor:
        loss, cache = similarity_transfer_forward(vectors, target)
        dvectors = similarity_transfer_backward(shares.pairs * factor, cache)
        gradients.add_hidden(top, pool_backward(dvectors, pooling))
        yield "sentence_similarities", shares.pairs * loss, factor


def encoder_transfer_losses(student, teacher, mask, transfer, teacher_vectors=None, shares=WHOLE):
    """All terms except masked words, and their gradients.

    student, teacher: EncoderOutput; mask [B, T] bool; transfer: EncoderTransfer
    teacher_vectors [B, H'], if they are known already; if no other term reads the teacher, `teacher` may then be None
    shares: those of the batch, if it is a part of one (model/parts.py); texts of two parts have no similarity
    -> {"loss", and each term: layers' terms as the mean over the pairs}, EncoderGradients
    """
    losses, gradients = _Losses(), EncoderGradients({}, {}, {})
    weight = shares.tokens
    by_pair = [_layer_losses(student, teacher, mask, transfer, pair, gradients, weight) for pair in transfer.pairs]
    for name, factor in (
        ("feature_map_transfer", transfer.feature_factor),
        ("attention_transfer", transfer.attention_factor),
        ("relation_transfer", transfer.relation_factor),
    ):
        if factor and by_pair:
            losses.add(name, weight * sum(found[name] for found in by_pair) / len(by_pair), factor)
    if factor := transfer.embedding_factor:
        loss, cache = feature_map_transfer_forward(student.hidden_states[0], teacher.hidden_states[0], mask)
        gradients.add_hidden(0, feature_map_transfer_backward(weight * factor, cache))
        losses.add("embedding_transfer", weight * loss, factor)
    if transfer.direction_factor or transfer.similarity_factor:
        if teacher_vectors is None:
            teacher_vectors, _ = pool_forward(teacher.hidden_states[-1], mask, transfer.pooling)
        for name, loss, factor in _vector_losses(student, teacher_vectors, mask, transfer, gradients, shares):
            losses.add(name, loss, factor)
    return losses.values, gradients


def encoder_transfer_step(params, config, teacher, teacher_config, batch, transfer, rng=None, shares=WHOLE):
    """Losses and gradients of one step; the teacher runs without dropout.

    shares: those of the batch, if it is a part of one (model/parts.py)
    batch: input_ids, token_type_ids, attention_mask; for masked words also masked_positions and masked_labels; perhaps
        teacher_vectors [B, H']: the teacher runs only if a term needs more than these
    -> {"loss", and the mean of each term}, gradients
    """
    inputs = (batch.input_ids, batch.token_type_ids, batch.attention_mask)
    tops = [None, None]  # all layers
    if not transfer.reads_output:
        tops = [max((pair[side] + 1 for pair in transfer.pairs), default=0) for side in (0, 1)]
    keep_scores = bool(transfer.attention_factor)
    teacher_output, vectors = None, getattr(batch, "teacher_vectors", None)
    if vectors is None or not transfer.only_vectors:
        teacher_output, _ = encoder_forward(
            teacher, teacher_config, *inputs, num_layers=tops[1], keep_scores=keep_scores
        )
    output, cache = encoder_forward(params, config, *inputs, num_layers=tops[0], rng=rng, keep_scores=keep_scores)
    values, gradients = encoder_transfer_losses(output, teacher_output, batch.attention_mask, transfer, vectors, shares)
    grads, dwords = new_gradients(), None
    if transfer.words_factor:
        of_teacher = teacher, teacher_config, teacher_output.hidden_states[-1]
        loss, dhidden, head, dwords = masked_word_distillation(
            params, config, output.hidden_states[-1], batch, of_teacher, transfer.words_alpha, shares.words
        )
        factor = dhidden.dtype.type(transfer.words_factor)
        gradients.add_hidden(len(output.hidden_states) - 1, factor * dhidden)
        grads |= {name: factor * gradient for name, gradient in head.items()}
        dwords = factor * dwords
        values |= {"masked_words": loss, "loss": values["loss"] + transfer.words_factor * loss}
    encoder_backward(
        gradients.hidden_states, cache, grads, config, dscores=gradients.scores, dprojections=gradients.projections
    )
    if dwords is not None:
        add_words(grads, config, dwords)
    return values, grads


def masked_word_step(params, config, batch, rng=None, shares=WHOLE):
    """Losses and gradients of one step without a teacher -> {"loss", "masked_words"}, gradients"""
    inputs = (batch.input_ids, batch.token_type_ids, batch.attention_mask)
    output, cache = encoder_forward(params, config, *inputs, rng=rng, keep_scores=False)
    loss, dhidden, grads, dwords = masked_word_distillation(
        params, config, output.hidden_states[-1], batch, share=shares.words
    )
    encoder_backward({len(cache.blocks): dhidden}, cache, grads, config)
    add_words(grads, config, dwords)
    return {"loss": loss, "masked_words": loss}, grads
