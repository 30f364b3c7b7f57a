"""How far apart two models are, tensor by tensor, and which tensor is the first that is too far.

    difference(a, b) = max |a - b| / max |b|        b: theirs

A ratio to the tensor's own scale, because activations of a NoNorm model may be of any size (the released one's reach
1e7). The tensors come in the order in which they are computed, so the first one beyond its limit is next to the cause:

    hidden_states[0], attention_maps[0], hidden_states[1], ..., word_logits, next_sentence_logits, loss,
    and then the gradients, from the heads down to the embeddings, as the backward pass meets them.
"""

from typing import NamedTuple

import numpy as np

LIMITS = {"forward": {"float32": 1e-4, "float64": 1e-9}, "gradient": {"float32": 1e-3, "float64": 1e-8}}
NOT_COMPARABLE = 1e99  # stands for infinity, which JSON does not have
PAD_ID = 0


class Run(NamedTuple):
    """What one model makes of one batch."""

    forward: dict  # {name: array}, in the order in which they are computed
    gradients: dict  # {parameter: array}


class Difference(NamedTuple):
    name: str
    kind: str  # "forward" or "gradient"
    shape: tuple
    value: float

    def exceeds(self, dtype):
        return not self.value <= LIMITS[self.kind][dtype]


def relative_difference(ours, theirs, scale=None):
    """max |ours - theirs| / scale; scale: max |theirs| unless given. NOT_COMPARABLE for other shapes or no numbers."""
    if ours is None or theirs is None or ours.shape != theirs.shape:
        return NOT_COMPARABLE
    gap = float(np.abs(ours - theirs).max(initial=0.0))
    scale = float(np.abs(theirs).max(initial=0.0)) if scale is None else scale
    if gap == 0.0:
        return 0.0
    return gap / scale if scale > 0.0 and np.isfinite(gap / scale) else NOT_COMPARABLE


def _gradient_difference(name, ours, theirs, pad_is_read):
    """Two gradients need care.

    A key's bias adds the same amount to all scores of a row, so softmax, and with it the loss, does not depend on it:
    the gradient is 0, and what both sides have is rounding. Its scale is that of the key's weight.

    The lookup of [PAD]'s word vector has no gradient in transformers (padding_idx). Where padding is read, that row of
    the word table is left out; where it is not, the row has the gradient of the tied decoder only, and is compared.
    """
    a, b, scale = ours.get(name), theirs.get(name), None
    if a is None or b is None:
        return relative_difference(a, b)
    if name.endswith("attention.self.key.bias"):
        scale = float(np.abs(theirs[name.removesuffix("bias") + "weight"]).max())
    if name.endswith("word_embeddings.weight") and pad_is_read:
        a, b = a[PAD_ID + 1 :], b[PAD_ID + 1 :]
    return relative_difference(a, b, scale)


def differences(ours, theirs, pad_is_read):
    """Two Runs -> list of Difference, in the order of the computation. A tensor that one side lacks differs, too."""
    found = []
    for name in [*ours.forward, *(set(theirs.forward) - set(ours.forward))]:
        a, b = ours.forward.get(name), theirs.forward.get(name)
        found.append(Difference(name, "forward", (b if a is None else a).shape, relative_difference(a, b)))
    backward = [*reversed(ours.gradients), *sorted(set(theirs.gradients) - set(ours.gradients))]
    for name in backward:
        value = _gradient_difference(name, ours.gradients, theirs.gradients, pad_is_read)
        shape = ours.gradients.get(name, theirs.gradients.get(name)).shape
        found.append(Difference(name, "gradient", shape, value))
    return found


def first_beyond(found, dtype):
    """The first Difference beyond its limit, or None; dtype "float32" or "float64"."""
    return next((difference for difference in found if difference.exceeds(dtype)), None)
