"""Central differences for the gradient checker: per entry, along directions, and of the loss of a whole model."""

import dataclasses

import numpy as np

EPSILON = float(np.finfo(np.float64).eps)


@dataclasses.dataclass(frozen=True)
class Slopes:
    """Finite differences of L and the corresponding analytic values; arrays of the same shape.

    expected   the finite differences; NaN if skipped
    analytic   the entries of the gradient, or its products with the directions
    noise      the rounding error of `expected`
    skipped    bool
    scale      the number by which an error is divided
    """

    expected: np.ndarray
    analytic: np.ndarray
    noise: np.ndarray
    skipped: np.ndarray
    scale: float

    def relative_errors(self, tolerance):
        """|analytic - expected| / scale, with the scale increased so that noise is below `tolerance`; 0 if skipped."""
        error = np.where(self.skipped, 0.0, np.abs(self.analytic - self.expected))
        with np.errstate(invalid="ignore"):
            scale = np.maximum(self.scale, np.maximum(self.noise / tolerance, 1e-300))
            return np.where(error == 0.0, 0.0, error / scale)

    def worst_error(self, tolerance):
        errors = self.relative_errors(tolerance)
        return float(np.where(np.isnan(errors), np.inf, errors).max(initial=0.0))


def entry_slopes(passes, key, step, kinks):
    """One difference per entry of input `key`, in the input's shape."""
    x = passes.inputs[key]
    expected, noise, skipped = np.full(x.shape, np.nan), np.zeros(x.shape), np.zeros(x.shape, bool)
    direction = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        direction[index] = 1.0
        found = _slope(passes, key, direction, step * max(1.0, abs(float(x[index]))), kinks)
        direction[index] = 0.0
        skipped[index] = found is None
        if found is not None:
            expected[index], noise[index] = found
    analytic = passes.gradients[key]
    if analytic.shape != x.shape:
        analytic = np.full(x.shape, np.nan)
    return Slopes(expected, analytic, noise, skipped, _largest(analytic, expected))


def directional_slopes(passes, key, gradient, step, kinks, rng, directions):
    """One difference per random direction v, and sum(gradient * v) as its analytic value."""
    shape = (directions if gradient.size else 0,)
    expected, analytic, noise = np.full(shape, np.nan), np.zeros(shape), np.zeros(shape)
    for i in range(*shape):
        v = rng.standard_normal(gradient.shape)
        analytic[i] = (gradient * v).sum()
        found = _slope(passes, key, v, step, kinks)
        if found is not None:
            expected[i], noise[i] = found
    # The product with a direction may be small by chance; |gradient| is its typical magnitude.
    scale = max(_largest(analytic, expected), float(np.linalg.norm(gradient)))
    return Slopes(expected, analytic, noise, np.isnan(expected), scale)


def _largest(*arrays):
    return max(float(np.abs(a[np.isfinite(a)]).max(initial=0.0)) for a in arrays)


def _slope(passes, key, direction, h, kinks):
    """(L(x + h v) - L(x - h v)) / 2h and its rounding noise; None if there is a kink between x - h v and x + h v."""
    x = passes.inputs[key]
    for divisor in (1.0, 10.0, 100.0):
        step = h / divisor
        above, below = {**passes.inputs, key: x + step * direction}, {**passes.inputs, key: x - step * direction}
        if kinks is None or _same_side(kinks(*above.values()), kinks(*below.values())):
            break
    else:
        return None
    total, squares = 0.0, 0.0
    for dy, up, down in zip(passes.dy, passes.evaluate(above), passes.evaluate(below), strict=True):
        # We subtract before we sum: the difference of two large sums would lose digits.
        total += float((dy * (up - down)).sum())
        moved = up != down
        squares += float(np.square(dy * up)[moved].sum() + np.square(dy * down)[moved].sum())
    # Each output that changes has a rounding error of a few ulps; independent errors add in squares.
    return total / (2.0 * step), 4.0 * EPSILON * np.sqrt(squares) / (2.0 * step)


def _same_side(above, below):
    """True if no kink value that changed has another sign or is 0."""
    above, below = (value if isinstance(value, tuple) else (value,) for value in (above, below))
    pairs = ((np.asarray(a), np.asarray(b)) for a, b in zip(above, below, strict=True))
    return all(((a == b) | (np.sign(a) * np.sign(b) > 0)).all() for a, b in pairs)


class Line:
    """The loss of a model along lines in parameter space.

    gradients  the analytic gradients
    changed    names of the parameters that `loss_and_grads` modified
    """

    attempts = 8

    def __init__(self, loss_and_grads, params, step, tolerance, rng):
        self.loss_and_grads, self.step, self.tolerance, self.rng = loss_and_grads, step, tolerance, rng
        self.params = {key: array.copy() for key, array in params.items()}
        self.loss, gradients = loss_and_grads(params)
        self.gradients = {key: np.array(gradient) for key, gradient in gradients.items()}
        self.changed = [key for key in params if params[key].tobytes() != self.params[key].tobytes()]

    def error(self, names):
        """-> relative error, analytic and numeric directional derivative, along a random direction in `names`"""
        norms = {key: float(np.linalg.norm(self.gradients[key])) for key in names}
        typical = np.median([norm for norm in norms.values() if norm > 0.0] or [1.0])
        step = self.step
        for _ in range(self.attempts):
            v = {
                key: self.rng.standard_normal(self.params[key].shape) * min(typical / max(norms[key], 1e-300), 30.0)
                for key in names
            }
            analytic = sum(float((self.gradients[key] * v[key]).sum()) for key in names)
            # The typical magnitude of `analytic` for random v; by chance one product may be far smaller.
            typical_terms = [np.linalg.norm(v[key]) * norms[key] / max(v[key].size, 1) ** 0.5 for key in names]
            size = float(np.linalg.norm(typical_terms))
            wide, narrow = self._slope(v, step), self._slope(v, step / 2.0)
            noise = 8.0 * EPSILON * abs(self.loss) / step
            scale = max(size, abs(analytic), abs(narrow), noise / self.tolerance)
            if abs(wide - narrow) <= 0.3 * self.tolerance * scale:
                break
            step /= 2.0  # a kink or high curvature: try a smaller step in another direction
        return abs(analytic - narrow) / scale if scale > 0.0 else 0.0, analytic, narrow

    def _slope(self, v, h):
        return (self._loss_at(v, h) - self._loss_at(v, -h)) / (2.0 * h)

    def _loss_at(self, v, h):
        moved = {key: array + h * v[key] if key in v else array.copy() for key, array in self.params.items()}
        return float(self.loss_and_grads(moved)[0])
