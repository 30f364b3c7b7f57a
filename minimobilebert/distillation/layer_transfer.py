"""Layer-wise knowledge transfer: feature-map and attention transfer for the given layers (Section 3.4).

    L_KT = 1/L sum over the given layers l of  feature_factor * L_FMT(l) + attention_factor * L_AT(l)

Student layer l is paired with teacher layer l. Both models run only up to the highest given layer, because the loss
does not depend on the layers above.
"""

from typing import NamedTuple

from ..model.encoder import encoder_backward, encoder_forward
from ..model.gradients import new_gradients
from ..model.parts import WHOLE
from .attention_transfer import attention_transfer_backward, attention_transfer_forward
from .feature_map_transfer import feature_map_transfer_backward, feature_map_transfer_forward
from .normalized_feature_map_transfer import (
    normalized_feature_map_transfer_backward,
    normalized_feature_map_transfer_forward,
)

FEATURE_LOSSES = {
    "paper": (feature_map_transfer_forward, feature_map_transfer_backward),
    "released": (normalized_feature_map_transfer_forward, normalized_feature_map_transfer_backward),
}


class TransferSettings(NamedTuple):
    feature_loss: str = "released"  # a key of FEATURE_LOSSES
    feature_factor: float = 1.0
    attention_factor: float = 1.0


class TransferGradients(NamedTuple):
    hidden_states: dict  # {index into hidden_states: [B, T, H]}
    scores: dict  # {layer: [B, A, T, T]}


def transfer_losses(student, teacher, mask, layers, settings, num_layers):
    """Both transfer losses of the given layers, and their gradients.

    student, teacher: EncoderOutput; mask [B, T] bool; num_layers: L, the number of all layers of the student
    -> {"loss", "feature_map_transfer", "attention_transfer"}, TransferGradients
    """
    feature_forward, feature_backward = FEATURE_LOSSES[settings.feature_loss]
    feature_total = attention_total = 0.0
    gradients = TransferGradients({}, {})
    share = 1.0 / num_layers
    for layer in layers:
        feature, feature_cache = feature_forward(
            student.hidden_states[layer + 1], teacher.hidden_states[layer + 1], mask
        )
        attention, attention_cache = attention_transfer_forward(
            student.attention_scores[layer], teacher.attention_scores[layer], mask
        )
        feature_total += share * feature
        attention_total += share * attention
        # A factor of 0 switches a loss off: we report its value and do not compute its gradient.
        if settings.feature_factor:
            gradients.hidden_states[layer + 1] = feature_backward(share * settings.feature_factor, feature_cache)
        if settings.attention_factor:
            gradients.scores[layer] = attention_transfer_backward(share * settings.attention_factor, attention_cache)
    loss = settings.feature_factor * feature_total + settings.attention_factor * attention_total
    return {"loss": loss, "feature_map_transfer": feature_total, "attention_transfer": attention_total}, gradients


def weighted_transfer_losses(student, teacher, mask, layers, settings, num_layers, shares):
    """`transfer_losses` of a part of a batch; shares: those of model/parts.py"""
    values, gradients = transfer_losses(student, teacher, mask, layers, settings, num_layers)
    share = shares.tokens
    if share == 1.0:
        return values, gradients
    hidden_states, scores = (
        {layer: gradient * gradient.dtype.type(share) for layer, gradient in each.items()} for each in gradients
    )
    return {name: share * value for name, value in values.items()}, TransferGradients(hidden_states, scores)


def layer_transfer_step(
    params, config, teacher, teacher_config, batch, layers, settings, *, train_embeddings=False, shares=WHOLE
):
    """Losses and gradients of one transfer step.

    layers: indices of the blocks whose outputs and attention maps are compared
    shares: those of the batch, if it is a part of one (model/parts.py)
    -> {"loss", "feature_map_transfer", "attention_transfer"}, gradients of the student up to the highest layer
    """
    inputs = (batch.input_ids, batch.token_type_ids, batch.attention_mask)
    top = max(layers) + 1
    teacher_output, _ = encoder_forward(teacher, teacher_config, *inputs, num_layers=top)
    output, cache = encoder_forward(params, config, *inputs, num_layers=top)
    values, gradients = weighted_transfer_losses(
        output, teacher_output, batch.attention_mask, layers, settings, config.num_hidden_layers, shares
    )
    grads = new_gradients()
    encoder_backward(
        gradients.hidden_states, cache, grads, config, dscores=gradients.scores, train_embeddings=train_embeddings
    )
    return values, grads
