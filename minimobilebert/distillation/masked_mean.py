"""The average that every transfer loss takes: over real tokens only.

The released code averages over padding too, so a batch with more padding teaches less about text.
"""

import numpy as np


def token_weights(mask, dtype):
    """w[b, t] = 1 / (number of real tokens) where the token is real, 0 at padding; mask [B, T] -> [B, T]"""
    mask = np.asarray(mask, dtype=bool)
    return mask.astype(dtype) / dtype.type(max(int(mask.sum()), 1))
