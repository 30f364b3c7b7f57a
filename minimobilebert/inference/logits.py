"""A fine-tuned model's raw answers for a batch, through the fast engine.

classification    logits [B, num_labels]    of the pooled vector
span              logits [B, T, 2]          start and end score of every token
"""

from ..model.heads import pooler_forward
from ..model.layers import dense
from .engine import Engine


def classification_logits(params, config):
    """-> function: batch -> logits [B, num_labels]. `params` may be trained on later; then ask for a new function."""
    engine = Engine(params, config)

    def logits(batch):
        hidden = engine(batch.input_ids, batch.token_type_ids, batch.attention_mask)
        pooled, _ = pooler_forward(params, config, hidden)
        return dense(params, "classifier", pooled)[0]

    return logits


def span_logits(params, config):
    """-> function: batch -> logits [B, T, 2]; as `classification_logits`"""
    engine = Engine(params, config)

    def logits(batch):
        return dense(params, "qa_outputs", engine(batch.input_ids, batch.token_type_ids, batch.attention_mask))[0]

    return logits
