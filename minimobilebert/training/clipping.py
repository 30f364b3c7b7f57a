"""Gradient clipping by the global norm: it bounds the size of an update.

norm = sqrt(sum over all parameters of |g|^2)        g <- g * min(1, max_norm / norm)
"""

import math

from ..ops.sums import dot


def clip_by_global_norm(gradients, max_norm):
    """gradients {name: array} -> their global norm, and the factor that reduces it to at most `max_norm`

    The gradients do not change: the optimiser multiplies by the factor in its own pass over them.
    For a norm that is not finite the factor is 1, so that the training loop sees the problem.
    """
    norm = math.sqrt(math.fsum(dot(g, g) for g in gradients.values()))
    return norm, max_norm / norm if math.isfinite(norm) and norm > max_norm else 1.0
