"""Global-norm clipping: a rare huge gradient must not undo what many small ones achieved.

norm = sqrt(sum over all parameters of |g|^2)        g <- g * min(1, max_norm / norm)
"""

import math

from ..ops.sums import dot


def clip_by_global_norm(gradients, max_norm):
    """gradients {name: array} -> their joint norm, and the factor that brings it to at most `max_norm`

    The gradients are left as they are: the optimiser multiplies by the factor in the one pass that it makes over them.
    A norm that is not finite has factor 1: hiding it would train on nonsense.
    """
    norm = math.sqrt(math.fsum(dot(g, g) for g in gradients.values()))
    return norm, max_norm / norm if math.isfinite(norm) and norm > max_norm else 1.0
