"""Lesson 13 as a student would write it; never part of a student edition. Mutants are made from these."""

import math

from minimobilebert.distillation.layer_transfer import (
    FEATURE_LOSSES,
    TransferGradients,
    attention_transfer_backward,
    attention_transfer_forward,
)


def progressive_multiplier(step, layer, steps_per_layer):
    tau = (step % steps_per_layer) / steps_per_layer
    background = min(0.9 + 0.1 * math.sqrt(1 - tau), 10 * tau)
    if step <= layer * steps_per_layer:
        phase = 0.0
    elif step <= (layer + 1) * steps_per_layer:
        phase = 1.0
    else:
        phase = 0.1
    return 3 * background * phase


def transfer_losses(student, teacher, mask, layers, settings, num_layers):
    forward, backward = FEATURE_LOSSES[settings.feature_loss]
    features, attentions = 0.0, 0.0
    dhidden, dscores = {}, {}
    for layer in layers:
        hidden, target = student.hidden_states[layer + 1], teacher.hidden_states[layer + 1]
        value, cache = forward(hidden, target, mask)
        features += value / num_layers
        if settings.feature_factor != 0:
            dhidden[layer + 1] = backward(settings.feature_factor / num_layers, cache)
        student_scores, teacher_scores = student.attention_scores[layer], teacher.attention_scores[layer]
        value, cache = attention_transfer_forward(student_scores, teacher_scores, mask)
        attentions += value / num_layers
        if settings.attention_factor != 0:
            dscores[layer] = attention_transfer_backward(settings.attention_factor / num_layers, cache)
    total = settings.feature_factor * features + settings.attention_factor * attentions
    losses = {"loss": total, "feature_map_transfer": features, "attention_transfer": attentions}
    return losses, TransferGradients(dhidden, dscores)
