"""The mean over real tokens, which all transfer losses use.

The released code averages over padding too, so that padding reduces the weight of the real tokens.
"""

import numpy as np


def token_weights(mask, dtype):
    """w[b, t] = 1 / (number of real tokens in the batch) at real tokens, 0 at padding; mask [B, T] -> w [B, T]"""
    mask = np.asarray(mask, dtype=bool)
    return mask.astype(dtype) / dtype.type(max(int(mask.sum()), 1))
