"""The logits of a fine-tuned model for a batch, computed by the inference engine.

classification           logits [B, num_labels]    from the pooled vector
vector_classification    logits [B, num_labels]    from the vector of a text, or those of the two texts of a pair
span                     logits [B, T, 2]          start and end score of each token
"""

import numpy as np

from ..model.heads import pooler_forward
from ..model.layers import dense
from ..model.vector_classification import classified_vectors, encoder_input
from .engine import Engine


def finite(numbers, what):
    """What a model returned -> the same. ValueError for NaN or infinity: its activations left the range of float32."""
    if not np.isfinite(numbers).all():
        raise ValueError(f"model: {what}: found NaN or infinity, expected finite numbers")
    return numbers


def classification_logits(params, config):
    """-> function: batch -> logits [B, num_labels]. After a change of `params`, make a new function."""
    engine = Engine(params, config)

    def logits(batch):
        hidden = engine(batch.input_ids, batch.token_type_ids, batch.attention_mask)
        pooled, _ = pooler_forward(params, config, hidden)
        return dense(params, "classifier", pooled)[0]

    return logits


def vector_classification_logits(params, config, *, pooling, pad_id):
    """-> function: batch -> logits [B, num_labels]; pooling, pad_id: as in model/vector_classification.py"""
    engine = Engine(params, config)

    def logits(batch):
        texts = encoder_input(params, config, batch, pad_id)
        return classified_vectors(params, engine(*texts), texts.attention_mask, pooling)[0]

    return logits


def span_logits(params, config):
    """-> function: batch -> logits [B, T, 2]. After a change of `params`, make a new function."""
    engine = Engine(params, config)

    def logits(batch):
        return dense(params, "qa_outputs", engine(batch.input_ids, batch.token_type_ids, batch.attention_mask))[0]

    return logits
