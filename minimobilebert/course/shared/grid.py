"""Training whose numbers depend neither on the processor nor on how a formula is written.

    params = on_grid(params, 2.0**-20)              after each update; and gradients before it

Processors add in different orders, and AdamW can be written in many right ways. In float64 such results differ in their
last bits, and training lets a difference grow: after some hundred updates all digits of the loss are others. Rounded to
multiples of a step that is far above the last bit of float64, and far below what matters, both are the same number.
"""

import numpy as np


def on_grid(arrays, step):
    """{name: array} -> the same in float64, each number the nearest multiple of `step` (a power of two)"""
    return {name: step * np.round(array.astype(np.float64) / step) for name, array in arrays.items()}
