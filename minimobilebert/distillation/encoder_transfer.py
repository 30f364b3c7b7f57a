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


class EncoderGradients(NamedTuple):
    hidden_states: dict  # {index into hidden_states: [B, T, H]}
    scores: dict  # {layer: [B, A, T, T]}
    projections: dict  # {layer: Projections}

    def add_hidden(self, index, gradient):
        """Add to the gradient of a hidden state."""
        known = self.hidden_states.get(index)
        self.hidden_states[index] = gradient if known is None else known + gradient


def _layer_terms(student, teacher, mask, transfer, pair):
    """The terms of one pair of layers; yields (name, factor, loss, where the gradient goes, its backward, cache)"""
    layer, of_teacher = pair
    if transfer.feature_factor:
        forward, backward = FEATURE_LOSSES[transfer.feature_loss]
        loss, cache = forward(student.hidden_states[layer + 1], teacher.hidden_states[of_teacher + 1], mask)
        yield "feature_map_transfer", transfer.feature_factor, loss, "hidden_states", backward, cache
    if transfer.attention_factor:
        scores, teacher_scores = student.attention_scores[layer], teacher.attention_scores[of_teacher]
        loss, cache = attention_transfer_forward(scores, teacher_scores, mask)
        yield "attention_transfer", transfer.attention_factor, loss, "scores", attention_transfer_backward, cache
    if transfer.relation_factor:
        projections, of_teacher = student.projections[layer], teacher.projections[of_teacher]
        loss, cache = relation_transfer_forward(projections, of_teacher, mask, transfer.relation_heads)
        yield "relation_transfer", transfer.relation_factor, loss, "projections", relation_transfer_backward, cache


def _vector_terms(student, teacher, transfer):
    """The terms of the sentence vectors; student, teacher [B, H]; yields (name, factor, loss, backward, cache)"""
    if transfer.direction_factor:
        yield ("sentence_directions", transfer.direction_factor,
               *_with(direction_transfer_backward, direction_transfer_forward(student, teacher)))  # fmt: skip
    if transfer.similarity_factor:
        yield ("sentence_similarities", transfer.similarity_factor,
               *_with(similarity_transfer_backward, similarity_transfer_forward(student, teacher)))  # fmt: skip


def _with(backward, loss_and_cache):
    loss, cache = loss_and_cache
    return loss, backward, cache


def encoder_transfer_losses(student, teacher, mask, transfer):
    """All terms except masked words, and their gradients.

    student, teacher: EncoderOutput; mask [B, T] bool; transfer: EncoderTransfer
    -> {"loss", and the mean of each term}, EncoderGradients
    """
    values, gradients, total = {}, EncoderGradients({}, {}, {}), 0.0
    share = 1.0 / max(len(transfer.pairs), 1)
    for pair in transfer.pairs:
        for name, factor, loss, where, backward, cache in _layer_terms(student, teacher, mask, transfer, pair):
            index = pair[0] + 1 if where == "hidden_states" else pair[0]
            getattr(gradients, where)[index] = backward(share * factor, cache)
            values[name] = values.get(name, 0.0) + share * loss
            total += share * factor * loss
    if transfer.embedding_factor:
        loss, cache = feature_map_transfer_forward(student.hidden_states[0], teacher.hidden_states[0], mask)
        gradients.add_hidden(0, feature_map_transfer_backward(transfer.embedding_factor, cache))
        values["embedding_transfer"] = loss
        total += transfer.embedding_factor * loss
    if transfer.direction_factor or transfer.similarity_factor:
        vectors, pooling = pool_forward(student.hidden_states[-1], mask, transfer.pooling)
        teacher_vectors, _ = pool_forward(teacher.hidden_states[-1], mask, transfer.pooling)
        top = len(student.hidden_states) - 1
        for name, factor, loss, backward, cache in _vector_terms(vectors, teacher_vectors, transfer):
            gradients.add_hidden(top, pool_backward(backward(factor, cache), pooling))
            values[name] = loss
            total += factor * loss
    return {"loss": total, **values}, gradients


def encoder_transfer_step(params, config, teacher, teacher_config, batch, transfer, rng=None):
    """Losses and gradients of one step; the teacher runs without dropout.

    batch: input_ids, token_type_ids, attention_mask; for masked words also masked_positions and masked_labels
    -> {"loss", and the mean of each term}, gradients
    """
    inputs = (batch.input_ids, batch.token_type_ids, batch.attention_mask)
    tops = [None, None]  # all layers
    if not transfer.reads_output:
        tops = [max((pair[side] + 1 for pair in transfer.pairs), default=0) for side in (0, 1)]
    keep_scores = bool(transfer.attention_factor)
    teacher_output, _ = encoder_forward(teacher, teacher_config, *inputs, num_layers=tops[1], keep_scores=keep_scores)
    output, cache = encoder_forward(params, config, *inputs, num_layers=tops[0], rng=rng, keep_scores=keep_scores)
    values, gradients = encoder_transfer_losses(output, teacher_output, batch.attention_mask, transfer)
    grads, dwords = {}, None
    if transfer.words_factor:
        of_teacher = teacher, teacher_config, teacher_output.hidden_states[-1]
        loss, dhidden, head, dwords = masked_word_distillation(
            params, config, output.hidden_states[-1], batch, of_teacher, transfer.words_alpha
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


def masked_word_step(params, config, batch, rng=None):
    """Losses and gradients of one step without a teacher -> {"loss", "masked_words"}, gradients"""
    inputs = (batch.input_ids, batch.token_type_ids, batch.attention_mask)
    output, cache = encoder_forward(params, config, *inputs, rng=rng, keep_scores=False)
    loss, dhidden, grads, dwords = masked_word_distillation(params, config, output.hidden_states[-1], batch)
    encoder_backward({len(cache.blocks): dhidden}, cache, grads, config)
    add_words(grads, config, dwords)
    return {"loss": loss, "masked_words": loss}, grads
