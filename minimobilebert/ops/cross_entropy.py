"""Cross-entropy of logits with hard targets (one label per row) or soft targets (a distribution, for distillation).

With p = softmax(z), z a row of logits:

    hard    loss = -log p[label]             = log sum_j e^(z_j) - z_label
    soft    loss = -sum_j target_j log p_j   = sum_j target_j (log sum_k e^(z_k) - z_j)

As in softmax, we subtract the row's maximum first. Then no exponential overflows, the sum is at least 1, and its
logarithm is finite.

Backward. The logarithm of the loss and the exponentials of softmax cancel; a difference of probabilities remains:

    hard    dz = dloss (p - onehot(label))
    soft    dz = dloss (p sum_j target_j - target)        the sum is 1 for a distribution

The cache therefore needs only the probabilities and the targets. We do not differentiate with respect to the targets:
the teacher is fixed.
"""

from typing import NamedTuple

import numpy as np

from ..kernels import cross_entropy as kernel
from ..kernels.runtime.backend import accelerated_by


class CrossEntropyCache(NamedTuple):
    probabilities: np.ndarray  # [M, V]
    labels: np.ndarray  # [M] integers


class SoftCrossEntropyCache(NamedTuple):
    probabilities: np.ndarray  # [M, V]
    targets: np.ndarray  # [M, V]


def _softmax_and_log_sum(logits):
    """logits z [M, V] -> probabilities [M, V], z - max z [M, V], log sum e^(z - max z) [M, 1]"""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    exponentials = np.exp(shifted)
    total = exponentials.sum(axis=-1, keepdims=True)
    return exponentials / total, shifted, np.log(total)


def cross_entropy_forward(logits, labels):
    """logits [M, V], labels [M] integers -> losses [M], cache. M may be 0. ValueError for a label outside 0..V-1."""
    labels = np.asarray(labels)
    if labels.size and not (0 <= labels.min() and labels.max() < logits.shape[1]):
        raise ValueError(f"label: found {labels.min()}..{labels.max()}, expected 0..{logits.shape[1] - 1}")
    return hard_losses(logits, labels)


@accelerated_by(kernel.hard_losses, cache=CrossEntropyCache)
def hard_losses(logits, labels):
    """`cross_entropy_forward` without the range check of the labels."""
    probabilities, shifted, log_sum = _softmax_and_log_sum(logits)
    losses = log_sum[:, 0] - shifted[np.arange(len(labels)), labels]
    return losses, CrossEntropyCache(probabilities, labels)


@accelerated_by(kernel.cross_entropy_backward)
def cross_entropy_backward(dlosses, cache):
    """dlosses [M] -> dlogits [M, V]"""
    dlogits = dlosses[:, None] * cache.probabilities
    dlogits[np.arange(len(cache.labels)), cache.labels] -= dlosses
    return dlogits


@accelerated_by(kernel.soft_cross_entropy_forward, cache=SoftCrossEntropyCache)
def soft_cross_entropy_forward(logits, targets):
    """logits, targets [M, V] -> losses [M], cache. A row of targets need not sum to 1."""
    probabilities, shifted, log_sum = _softmax_and_log_sum(logits)
    losses = (targets * (log_sum - shifted)).sum(axis=-1)
    return losses, SoftCrossEntropyCache(probabilities, targets)


@accelerated_by(kernel.soft_cross_entropy_backward)
def soft_cross_entropy_backward(dlosses, cache):
    """dlosses [M] -> dlogits [M, V]"""
    mass = cache.targets.sum(axis=-1, keepdims=True)
    return dlosses[:, None] * (cache.probabilities * mass - cache.targets)
