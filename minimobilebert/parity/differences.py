"""The differences of two models, tensor by tensor, and the first tensor with a difference above its limit.

    difference(a, b) = max |a - b| / max |b|        b: the reference, transformers

The difference is relative to the tensor's scale, because the activations of a NoNorm model may have any magnitude (1e7
in the released model). The tensors are in the order of computation, so the first one above its limit is close to the
cause:

    hidden_states[0], attention_maps[0], hidden_states[1], ..., word_logits, next_sentence_logits, loss,
    and then the gradients, from the heads down to the embeddings, as in the backward pass.
"""

from typing import NamedTuple

import numpy as np

LIMITS = {"forward": {"float32": 1e-4, "float64": 1e-9}, "gradient": {"float32": 1e-3, "float64": 1e-8}}
NOT_COMPARABLE = 1e99  # instead of infinity, which JSON does not have
PAD_ID = 0


class Run(NamedTuple):
    """The results of one model for one batch."""

    forward: dict  # {name: array}, in the order in which they are computed
    gradients: dict  # {parameter: array}


class Difference(NamedTuple):
    name: str
    kind: str  # "forward" or "gradient"
    shape: tuple
    value: float

    def exceeds(self, dtype):
        return not self.value <= LIMITS[self.kind][dtype]


def relative_difference(run, reference, scale=None):
    """max |run - reference| / scale; scale: max |reference| by default. NOT_COMPARABLE for other shapes or NaN."""
    if run is None or reference is None or run.shape != reference.shape:
        return NOT_COMPARABLE
    error = float(np.abs(run - reference).max(initial=0.0))
    scale = float(np.abs(reference).max(initial=0.0)) if scale is None else scale
    if error == 0.0:
        return 0.0
    return error / scale if scale > 0.0 and np.isfinite(error / scale) else NOT_COMPARABLE


def _gradient_difference(name, run, reference, pad_is_read):
    """The difference of a gradient. There are two special cases.

    The bias of the keys adds the same number to all scores of a row, so the softmax and the loss do not depend on it.
    Its gradient is 0, and both models have rounding errors; we use the scale of the gradient of the key's weight.

    In transformers, the lookup of [PAD]'s word vector has no gradient (padding_idx). If the batch has padding, we skip
    this row of the word table. Otherwise the row has only the gradient of the tied decoder, and we compare it.
    """
    a, b, scale = run.get(name), reference.get(name), None
    if a is None or b is None:
        return relative_difference(a, b)
    if name.endswith("attention.self.key.bias"):
        scale = float(np.abs(reference[name.removesuffix("bias") + "weight"]).max())
    if name.endswith("word_embeddings.weight") and pad_is_read:
        a, b = a[PAD_ID + 1 :], b[PAD_ID + 1 :]
    return relative_difference(a, b, scale)


def differences(run, reference, pad_is_read):
    """Two Runs -> list of Difference in the order of computation. A tensor that only one Run has differs too."""
    found = []
    for name in [*run.forward, *(set(reference.forward) - set(run.forward))]:
        a, b = run.forward.get(name), reference.forward.get(name)
        found.append(Difference(name, "forward", (b if a is None else a).shape, relative_difference(a, b)))
    backward = [*reversed(run.gradients), *sorted(set(reference.gradients) - set(run.gradients))]
    for name in backward:
        value = _gradient_difference(name, run.gradients, reference.gradients, pad_is_read)
        shape = run.gradients.get(name, reference.gradients.get(name)).shape
        found.append(Difference(name, "gradient", shape, value))
    return found


def first_beyond(found, dtype):
    """The first Difference above its limit, or None; dtype "float32" or "float64"."""
    return next((difference for difference in found if difference.exceeds(dtype)), None)
