"""Global-norm clipping: a rare huge gradient must not undo what many small ones achieved.

norm = sqrt(sum over all parameters of |g|^2)        g <- g * min(1, max_norm / norm)
"""

import numpy as np


def clip_by_global_norm(gradients, max_norm):
    """Scale `gradients` {name: array} in place so that their joint norm is at most `max_norm` -> the norm before.

    A norm that is not finite is returned as it is and nothing is scaled: hiding it would train on nonsense.
    """
    squares = [float(np.vdot(g, g)) for g in gradients.values()]
    norm = float(np.sqrt(np.sum(squares)))
    if np.isfinite(norm) and norm > max_norm:
        for gradient in gradients.values():
            gradient *= gradient.dtype.type(max_norm / norm)
    return norm
