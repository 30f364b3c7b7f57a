"""What lesson 00's function must do."""

import numpy as np

from minimobilebert.course.shared.bundles import forward_properties


def draw(rng):
    return {"x": 2.0 * rng.normal(size=rng.permutation([2, 3, 4]))}


edges = [
    lambda rng: {"x": rng.normal(size=(0, 3))},
    lambda rng: {"x": rng.normal(size=1)},
    lambda rng: {"x": np.array([-800.0, -20.0, 0.0, 20.0, 800.0])},  # e^800 is more than a float64 can hold
]

forward_properties("00.1", draw, edges=edges, large=lambda rng: {"x": 2.0 * rng.normal(size=(40, 200))})
