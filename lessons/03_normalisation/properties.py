"""What lesson 03's functions must do."""

from minimobilebert.course.bundles import backward_properties, forward_properties

NONORM = "minimobilebert/ops/nonorm.py:nonorm_forward"


def features(rng, *shape):
    return {"x": rng.normal(size=shape), "weight": rng.normal(size=shape[-1]), "bias": rng.normal(size=shape[-1])}


def draw(rng):
    return features(rng, *rng.permutation([2, 3, 5]))


edges = [
    lambda rng: features(rng, 4),  # one token, no axis for it
    lambda rng: features(rng, 0, 3),
    lambda rng: features(rng, 2, 1, 1),
    lambda rng: features(rng, 2, 3, 2, 4),
]


def large(rng):
    return features(rng, 8, 64, 128)


forward_properties("03.6", draw, edges=edges)
backward_properties("03.7", draw, forward=NONORM, wrt=("x", "weight", "bias"), edges=edges, large=large)
