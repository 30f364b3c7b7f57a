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


class CrossEntropyCache(NamedTuple):
    probabilities: np.ndarray  # [M, V]
    labels: np.ndarray  # [M] integers


class SoftCrossEntropyCache(NamedTuple):
    probabilities: np.ndarray  # [M, V]
    targets: np.ndarray  # [M, V]


def cross_entropy_forward(logits, labels):
    """logits [M, V], labels [M] integers -> losses [M], cache. M = 0 is fine; ValueError for a label not in 0..V-1."""
    labels = np.asarray(labels)
    if labels.size and not (0 <= labels.min() and labels.max() < logits.shape[1]):
        raise ValueError(f"label: found {labels.min()}..{labels.max()}, expected 0..{logits.shape[1] - 1}")
    losses, probabilities = kernel.cross_entropy_forward(logits, labels)
    return losses, CrossEntropyCache(probabilities, labels)


def cross_entropy_backward(dlosses, cache):
    """dlosses [M] -> dlogits [M, V]"""
    return kernel.cross_entropy_backward(dlosses, cache.probabilities, cache.labels)


def soft_cross_entropy_forward(logits, targets):
    """logits, targets [M, V] -> losses [M], cache. A row of targets may sum to anything."""
    losses, probabilities = kernel.soft_cross_entropy_forward(logits, targets)
    return losses, SoftCrossEntropyCache(probabilities, targets)


def soft_cross_entropy_backward(dlosses, cache):
    """dlosses [M] -> dlogits [M, V]"""
    return kernel.soft_cross_entropy_backward(dlosses, cache.probabilities, cache.targets)
