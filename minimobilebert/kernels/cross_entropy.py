"""Cross-entropy of logits, fused with softmax (see ops/cross_entropy.py for the equations).

    thread = row      logits[i, :] [V]  ->  maximum, sum of e^(z - maximum)  ->  losses[i]
                                        ->  probabilities[i, :]   kept: the backward pass needs no exponential

A row of a large vocabulary (30,522 float32: 120 KB) stays in the second-level cache for its three passes.
"""

import numpy as np

from .exponential import log_scalar
from .rows import contiguous
from .runtime.jit import jit, jit_parallel, prange
from .runtime.memory import empty_like
from .softmax import softmax_row
from .sums import dot_of, sum_of

_CHUNK = 512  # logits whose differences from the maximum are held at a time


@jit_parallel
def _cross_entropy_forward(logits, labels, losses, probabilities):
    for i in prange(logits.shape[0]):
        largest, total = softmax_row(logits[i], probabilities[i])
        losses[i] = log_scalar(total) - (logits[i, labels[i]] - largest)


@jit_parallel
def _cross_entropy_backward(dlosses, probabilities, labels, dlogits):
    for i in prange(probabilities.shape[0]):
        d = dlosses[i]
        for j in range(probabilities.shape[1]):
            dlogits[i, j] = d * probabilities[i, j]
        dlogits[i, labels[i]] -= d


@jit
def _dot_with_difference(target, logits, largest):
    """target . (logits - largest); both [V]"""
    # Subtracting after the sum would lose the digits of large logits.
    difference, total = np.empty(_CHUNK, logits.dtype), logits.dtype.type(0.0)
    for start in range(0, logits.size, _CHUNK):
        count = min(_CHUNK, logits.size - start)
        z = logits[start : start + count]
        for j in range(count):
            difference[j] = z[j] - largest
        total += dot_of(target[start : start + count], difference[:count])
    return total


@jit_parallel
def _soft_cross_entropy_forward(logits, targets, losses, probabilities):
    for i in prange(logits.shape[0]):
        largest, total = softmax_row(logits[i], probabilities[i])
        # sum_j target_j (log total - (z_j - largest)), as two sums
        mass, along = sum_of(targets[i]), _dot_with_difference(targets[i], logits[i], largest)
        losses[i] = mass * log_scalar(total) - along


@jit_parallel
def _soft_cross_entropy_backward(dlosses, probabilities, targets, dlogits):
    for i in prange(probabilities.shape[0]):
        mass = sum_of(targets[i])
        for j in range(probabilities.shape[1]):
            dlogits[i, j] = dlosses[i] * (probabilities[i, j] * mass - targets[i, j])


def _forward(kernel, logits, second):
    logits = contiguous(logits)
    losses, probabilities = np.empty(len(logits), logits.dtype), empty_like(logits)
    kernel(logits, contiguous(second), losses, probabilities)
    return losses, probabilities


def _backward(kernel, dlosses, probabilities, second):
    dlogits = empty_like(probabilities)
    kernel(contiguous(dlosses), probabilities, contiguous(second), dlogits)
    return dlogits


def hard_losses(logits, labels):
    """The compiled twin of ops/cross_entropy.py."""
    losses, probabilities = _forward(_cross_entropy_forward, logits, contiguous(labels, np.int64))
    return losses, (probabilities, labels)


def cross_entropy_backward(dlosses, cache):
    """The compiled twin of ops/cross_entropy.py."""
    return _backward(_cross_entropy_backward, dlosses, cache.probabilities, contiguous(cache.labels, np.int64))


def soft_cross_entropy_forward(logits, targets):
    """The compiled twin of ops/cross_entropy.py."""
    losses, probabilities = _forward(_soft_cross_entropy_forward, logits, targets)
    return losses, (probabilities, targets)


def soft_cross_entropy_backward(dlosses, cache):
    """The compiled twin of ops/cross_entropy.py."""
    return _backward(_soft_cross_entropy_backward, dlosses, cache.probabilities, cache.targets)
