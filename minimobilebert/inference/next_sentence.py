"""`nsp`: predict whether the second text follows the first.

    p = softmax(next-sentence scores of the pooled vector)

Label 0 is "follows", label 1 "random", as in BERT.
"""

from ..model.layers import dense
from ..ops.softmax import softmax_forward
from .logits import finite


def next_sentence(model, first, second):
    """-> {"follows": probability, "random": probability}. NoSuchHead if the model has no such head."""
    model.require_parameter("cls.seq_relationship.weight", "next sentences")
    for name, text in (("first", first), ("second", second)):
        if not text.strip():
            raise ValueError(f"{name} text: found nothing, expected words")
    logits, _ = dense(model.params, "cls.seq_relationship", model.encode([first], [second]).pooled)
    follows, random = softmax_forward(finite(logits, "logits"))[0][0]
    return {"follows": float(follows), "random": float(random)}
