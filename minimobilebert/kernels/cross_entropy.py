"""Cross-entropy of logits, fused with softmax, one row a thread (see ops/cross_entropy.py for the equations)."""

import numpy as np

from .backend import by_backend
from .exponential import log_scalar
from .jit import jit, jit_parallel, prange
from .memory import empty_like
from .rows import compact
from .softmax import softmax_row
from .sums import dot_of, sum_of

_CHUNK = 512  # logits whose differences from the maximum are held at a time


def _softmax_and_log_sum(logits):
    """Probabilities [M, V], shifted logits [M, V] and the log of their exponentials' sum [M, 1]."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    exponentials = np.exp(shifted)
    total = exponentials.sum(axis=-1, keepdims=True)
    return exponentials / total, shifted, np.log(total)


def cross_entropy_forward_numpy(logits, labels):
    """-log softmax(logits)[label]; logits [M, V], labels [M] -> losses [M], probabilities [M, V]"""
    probabilities, shifted, log_sum = _softmax_and_log_sum(logits)
    return log_sum[:, 0] - shifted[np.arange(len(labels)), labels], probabilities


def cross_entropy_backward_numpy(dlosses, probabilities, labels):
    """dlosses [M] -> dlogits [M, V]"""
    dlogits = dlosses[:, None] * probabilities
    dlogits[np.arange(len(labels)), labels] -= dlosses
    return dlogits


def soft_cross_entropy_forward_numpy(logits, targets):
    """-sum targets * log softmax(logits); logits, targets [M, V] -> losses [M], probabilities [M, V]"""
    probabilities, shifted, log_sum = _softmax_and_log_sum(logits)
    return (targets * (log_sum - shifted)).sum(axis=-1), probabilities


def soft_cross_entropy_backward_numpy(dlosses, probabilities, targets):
    """dlosses [M] -> dlogits [M, V]"""
    return dlosses[:, None] * (probabilities * targets.sum(axis=-1, keepdims=True) - targets)


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
    """sum of target * (logits - largest); [V], [V]; subtracting afterwards would lose the digits of large logits"""
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
    logits = compact(logits)
    losses, probabilities = np.empty(len(logits), logits.dtype), empty_like(logits)
    kernel(logits, compact(second), losses, probabilities)
    return losses, probabilities


def _backward(kernel, dlosses, probabilities, second):
    dlogits = empty_like(probabilities)
    kernel(compact(dlosses), probabilities, compact(second), dlogits)
    return dlogits


def cross_entropy_forward_numba(logits, labels):
    """The compiled twin of `cross_entropy_forward_numpy`."""
    return _forward(_cross_entropy_forward, logits, compact(labels, np.int64))


def cross_entropy_backward_numba(dlosses, probabilities, labels):
    """The compiled twin of `cross_entropy_backward_numpy`."""
    return _backward(_cross_entropy_backward, dlosses, probabilities, compact(labels, np.int64))


def soft_cross_entropy_forward_numba(logits, targets):
    """The compiled twin of `soft_cross_entropy_forward_numpy`."""
    return _forward(_soft_cross_entropy_forward, logits, targets)


def soft_cross_entropy_backward_numba(dlosses, probabilities, targets):
    """The compiled twin of `soft_cross_entropy_backward_numpy`."""
    return _backward(_soft_cross_entropy_backward, dlosses, probabilities, targets)


cross_entropy_forward = by_backend(numpy=cross_entropy_forward_numpy, numba=cross_entropy_forward_numba)
cross_entropy_backward = by_backend(numpy=cross_entropy_backward_numpy, numba=cross_entropy_backward_numba)
soft_cross_entropy_forward = by_backend(numpy=soft_cross_entropy_forward_numpy, numba=soft_cross_entropy_forward_numba)
soft_cross_entropy_backward = by_backend(
    numpy=soft_cross_entropy_backward_numpy, numba=soft_cross_entropy_backward_numba
)
