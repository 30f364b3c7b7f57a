"""Central differences for the gradient checker: of every entry, along directions, and of a whole model's loss."""

import dataclasses

import numpy as np

EPSILON = float(np.finfo(np.float64).eps)


@dataclasses.dataclass(frozen=True)
class Slopes:
    """Finite differences of L, and the checked gradient seen the same way; arrays of one shape.

    expected   the difference; NaN where it was skipped
    yours      the gradient: its entries, or its products with the directions
    noise      how far rounding alone can move `expected`
    skipped    bool
    scale      what an error is relative to
    """

    expected: np.ndarray
    yours: np.ndarray
    noise: np.ndarray
    skipped: np.ndarray
    scale: float

    def relative_errors(self, tolerance):
        """|yours - expected| / scale, where noise alone stays below `tolerance`; 0 where skipped."""
        gap = np.where(self.skipped, 0.0, np.abs(self.yours - self.expected))
        with np.errstate(invalid="ignore"):
            return np.where(gap == 0.0, 0.0, gap / np.maximum(self.scale, np.maximum(self.noise / tolerance, 1e-300)))

    def worst_error(self, tolerance):
        errors = self.relative_errors(tolerance)
        return float(np.where(np.isnan(errors), np.inf, errors).max(initial=0.0))


def entry_slopes(passes, key, step, kinks):
    """One difference an entry of input `key`, in the input's shape."""
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
    yours = passes.gradients[key]
    if yours.shape != x.shape:
        yours = np.full(x.shape, np.nan)
    return Slopes(expected, yours, noise, skipped, _largest(yours, expected))


def directional_slopes(passes, key, gradient, step, kinks, rng, directions):
    """One difference a random direction v, against the sum of gradient * v."""
    shape = (directions if gradient.size else 0,)
    expected, yours, noise = np.full(shape, np.nan), np.zeros(shape), np.zeros(shape)
    for i in range(*shape):
        v = rng.standard_normal(gradient.shape)
        yours[i] = (gradient * v).sum()
        found = _slope(passes, key, v, step, kinks)
        if found is not None:
            expected[i], noise[i] = found
    # The product with one direction can be small by chance; |gradient| is its typical size.
    scale = max(_largest(yours, expected), float(np.linalg.norm(gradient)))
    return Slopes(expected, yours, noise, np.isnan(expected), scale)


def _largest(*arrays):
    return max(float(np.abs(a[np.isfinite(a)]).max(initial=0.0)) for a in arrays)


def _slope(passes, key, direction, h, kinks):
    """(L(x + h v) - L(x - h v)) / 2h and its rounding noise; None where a declared kink lies in between."""
    x = passes.inputs[key]
    for shorter in (1.0, 10.0, 100.0):
        step = h / shorter
        above, below = {**passes.inputs, key: x + step * direction}, {**passes.inputs, key: x - step * direction}
        if kinks is None or _same_side(kinks(*above.values()), kinks(*below.values())):
            break
    else:
        return None
    total, squares = 0.0, 0.0
    for dy, up, down in zip(passes.dy, passes.evaluate(above), passes.evaluate(below), strict=True):
        # Differences first, then the sum: the other way two large sums would cancel.
        total += float((dy * (up - down)).sum())
        moved = up != down
        squares += float(np.square(dy * up)[moved].sum() + np.square(dy * down)[moved].sum())
    # Each output that moves is right to a few units in its last place; these errors add up like random steps.
    return total / (2.0 * step), 4.0 * EPSILON * np.sqrt(squares) / (2.0 * step)


def _same_side(above, below):
    """Whether no kink value that moved changed its sign or touched 0."""
    above, below = (value if isinstance(value, tuple) else (value,) for value in (above, below))
    pairs = ((np.asarray(a), np.asarray(b)) for a, b in zip(above, below, strict=True))
    return all(((a == b) | (np.sign(a) * np.sign(b) > 0)).all() for a, b in pairs)


class Line:
    """The loss of a model along lines through parameter space.

    gradients  what the model says
    changed    names of the parameters that computing them changed
    """

    attempts = 8

    def __init__(self, loss_and_grads, params, step, tolerance, rng):
        self.loss_and_grads, self.step, self.tolerance, self.rng = loss_and_grads, step, tolerance, rng
        self.params = {key: array.copy() for key, array in params.items()}
        self.loss, gradients = loss_and_grads(params)
        self.gradients = {key: np.array(gradient) for key, gradient in gradients.items()}
        self.changed = [key for key in params if params[key].tobytes() != self.params[key].tobytes()]

    def error(self, names):
        """Relative error, slope by the gradients and slope by differences along a random direction in `names`."""
        norms = {key: float(np.linalg.norm(self.gradients[key])) for key in names}
        typical = np.median([norm for norm in norms.values() if norm > 0.0] or [1.0])
        step = self.step
        for _ in range(self.attempts):
            v = {
                key: self.rng.standard_normal(self.params[key].shape) * min(typical / max(norms[key], 1e-300), 30.0)
                for key in names
            }
            yours = sum(float((self.gradients[key] * v[key]).sum()) for key in names)
            # The size that `yours` typically has for random v; by chance one product can be far below it.
            typical_terms = [np.linalg.norm(v[key]) * norms[key] / max(v[key].size, 1) ** 0.5 for key in names]
            size = float(np.linalg.norm(typical_terms))
            wide, narrow = self._slope(v, step), self._slope(v, step / 2.0)
            noise = 8.0 * EPSILON * abs(self.loss) / step
            scale = max(size, abs(yours), abs(narrow), noise / self.tolerance)
            if abs(wide - narrow) <= 0.3 * self.tolerance * scale:
                break
            step /= 2.0  # a kink or a sharp bend within reach: look closer, elsewhere
        return abs(yours - narrow) / scale if scale > 0.0 else 0.0, yours, narrow

    def _slope(self, v, h):
        return (self._loss_at(v, h) - self._loss_at(v, -h)) / (2.0 * h)

    def _loss_at(self, v, h):
        moved = {key: array + h * v[key] if key in v else array.copy() for key, array in self.params.items()}
        return float(self.loss_and_grads(moved)[0])
