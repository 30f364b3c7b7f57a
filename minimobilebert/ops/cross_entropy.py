"""Cross-entropy of logits: against one right answer a row, or against a whole distribution (distillation).

With p = softmax(z), z a row of logits:

    hard    loss = -log p[label]             = log sum_j e^(z_j) - z_label
    soft    loss = -sum_j target_j log p_j   = sum_j target_j (log sum_k e^(z_k) - z_j)

As in softmax the row's maximum is subtracted first, so no exponential overflows and the sum is at least 1:
the logarithm never sees 0.

Backward. The exponentials of softmax and the logarithm of the loss cancel, and what remains is a difference:

    hard    dz = dloss (p - onehot(label))
    soft    dz = dloss (p sum_j target_j - target)        the sum is 1 for a distribution

So the probabilities are all that has to be kept. Targets are constants: a teacher gets no gradient.
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
    """logits [M, V] -> probabilities [M, V], z - max z [M, V], log of the sum of its exponentials [M, 1]"""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    exponentials = np.exp(shifted)
    total = exponentials.sum(axis=-1, keepdims=True)
    return exponentials / total, shifted, np.log(total)


def cross_entropy_forward(logits, labels):
    """logits [M, V], labels [M] integers -> losses [M], cache. M = 0 is fine; ValueError for a label not in 0..V-1."""
    labels = np.asarray(labels)
    if labels.size and not (0 <= labels.min() and labels.max() < logits.shape[1]):
        raise ValueError(f"label: found {labels.min()}..{labels.max()}, expected 0..{logits.shape[1] - 1}")
    return hard_losses(logits, labels)


@accelerated_by(kernel.hard_losses, cache=CrossEntropyCache)
def hard_losses(logits, labels):
    """`cross_entropy_forward` for labels that are in range."""
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
    """logits, targets [M, V] -> losses [M], cache. A row of targets may sum to anything."""
    probabilities, shifted, log_sum = _softmax_and_log_sum(logits)
    losses = (targets * (log_sum - shifted)).sum(axis=-1)
    return losses, SoftCrossEntropyCache(probabilities, targets)


@accelerated_by(kernel.soft_cross_entropy_backward)
def soft_cross_entropy_backward(dlosses, cache):
    """dlosses [M] -> dlogits [M, V]"""
    mass = cache.targets.sum(axis=-1, keepdims=True)
    return dlosses[:, None] * (cache.probabilities * mass - cache.targets)
