"""Measurements for the report on held-out text: transfer losses, activation scales, attention maps."""

import math

import numpy as np

from ..distillation.attention_transfer import attention_transfer_forward
from ..distillation.feature_map_transfer import feature_map_transfer_forward
from ..model.encoder import encoder_forward
from ..ops.sums import dot


def _encode(params, config, batch):
    output, _ = encoder_forward(params, config, batch.input_ids, batch.token_type_ids, batch.attention_mask)
    return output


def transfer_losses_by_layer(student, student_config, teacher, teacher_config, batches):
    """Equations 2 and 3 for each layer, averaged over `batches`.

    -> {"feature_map_transfer": [L floats], "attention_transfer": [L floats]}
    """
    layers = range(student_config.num_hidden_layers)
    features, attentions = np.zeros((2, len(layers)))
    for batch in batches:
        s, t = _encode(student, student_config, batch), _encode(teacher, teacher_config, batch)
        mask = batch.attention_mask
        for layer in layers:
            feature, _ = feature_map_transfer_forward(s.hidden_states[layer + 1], t.hidden_states[layer + 1], mask)
            attention, _ = attention_transfer_forward(s.attention_scores[layer], t.attention_scores[layer], mask)
            features[layer] += feature
            attentions[layer] += attention
    return {
        "feature_map_transfer": (features / len(batches)).tolist(),
        "attention_transfer": (attentions / len(batches)).tolist(),
    }


def activation_scales(params, config, batch):
    """The scale of the hidden states over real tokens, per layer; layer 0 is the embedding output.

    -> {"root_mean_square": [L + 1 floats], "largest": [L + 1 floats]}
    """
    hidden_states = _encode(params, config, batch).hidden_states
    real = [h[batch.attention_mask].astype(np.float64) for h in hidden_states]
    return {
        "root_mean_square": [math.sqrt(dot(h, h) / h.size) for h in real],
        "largest": [float(np.abs(h).max()) for h in real],
    }


def attention_maps(params, config, tokenizer, sentence):
    """The attention maps of one sentence -> tokens (list of str), maps (list over layers of [A, T, T])"""
    pieces = tokenizer.encode(sentence)[: config.max_position_embeddings - 2]
    ids = np.array([[tokenizer.cls_id, *pieces, tokenizer.sep_id]], np.int32)
    real = np.ones(ids.shape, bool)
    output, _ = encoder_forward(params, config, ids, np.zeros_like(ids), real)
    return [tokenizer.vocab[i] for i in ids[0]], [maps[0] for maps in output.attention_maps]
