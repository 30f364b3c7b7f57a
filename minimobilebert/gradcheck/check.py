"""The gradient checker: is `x_backward` the derivative of `x_forward`?

A backward pass is right if, for EVERY upstream gradient dy, it returns the gradient of the number

    L(inputs) = sum(dy * forward(inputs))

so the checker draws a dy at random and compares with a central difference, entry by entry:

    dL/dx[i] = (L(x + h e_i) - L(x - h e_i)) / 2h   +   an error of order h^2

Why it is done this way:

* dy is random. Under dy = 1 everywhere, a softmax backward that returns zeros, a LayerNorm backward without its
  scale and every wrong permutation look right.
* float64. In float32 the difference of two nearly equal numbers has no digits left; a float32 kernel is compared
  with its float64 self instead.
* h = 1e-5. The h^2 error shrinks with h, rounding (1e-16 / h) grows; near 1e-5 both are about 1e-10.
* Every evaluation gets its own copy of the inputs. Where an output is a view of an input, changing the input in
  place would change the saved output too, and every difference would be 0.
* The error is relative to the largest entry of the same gradient. Relative to each entry, those that are 0 by
  cancellation would fail however right they are. A gradient that is 0 everywhere has no scale of its own: there
  a deviation within the rounding noise of the difference counts as no more than the tolerance.

The same run checks what else a backward promises: it is linear in dy, it changes neither its inputs nor the cache,
and every gradient has the shape and the type of its array. `diagnosis.py` puts failures into words.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np

from . import diagnosis
from .differences import Line, directional_slopes, entry_slopes
from .passes import Passes

# Inputs are often drawn from default_rng(seed) with the same seed. From the same stream dy would be equal to x, and at
# dy = x the gradient of LayerNorm, for one, is 0 whatever the code does.
_STREAM = 0x6C


class GradientError(AssertionError):
    """A backward pass is wrong. The message says where, by how much, and what it looks like."""


@dataclasses.dataclass(frozen=True)
class GradientCheck:
    """What a check found.

    errors    worst relative error of each gradient, by name ("dx", "dweight", ...)
    skipped   number of entries left out because a declared kink was too close, by name
    failures  empty if everything passed
    """

    name: str
    seed: int
    tolerance: float
    errors: dict[str, float]
    skipped: dict[str, int]
    failures: list[diagnosis.Failure]

    @property
    def passed(self) -> bool:
        return not self.failures

    @property
    def worst(self) -> float:
        """The largest of `errors`; 0 where there was nothing to compare."""
        return max(self.errors.values(), default=0.0)

    def __str__(self) -> str:
        return diagnosis.report(self)

    def raise_on_failure(self) -> "GradientCheck":
        """GradientError with the whole report if something failed; else this result."""
        if self.failures:
            raise GradientError("\n" + str(self))
        return self


def check_gradients(
    forward: Callable[..., tuple[Any, Any]],
    backward: Callable[[Any, Any], Any],
    inputs: Mapping[str, np.ndarray],
    *,
    seed: int,
    mode: Literal["all", "direction"] = "all",
    tolerance: float = 1e-6,
    step: float = 1e-5,
    kinks: Callable[..., Any] | None = None,
    name: str | None = None,
    directions: int = 5,
) -> GradientCheck:
    """Compare `backward` with finite differences of `forward`.

    forward   forward(*inputs.values()) -> y, cache; y is an array, a number, or a tuple of these
    backward  backward(dy, cache) -> the gradient of each input, in their order; dy is built like y
    inputs    dict from name to array: only what has a gradient (bind labels, masks and sizes with a lambda)
    mode      "all": every entry. "direction": `directions` random directions for each input, for large inputs
    kinks     kinks(*inputs.values()) -> an array, or a tuple of them, whose entries change sign where `forward` has
              a kink (ReLU: x itself). Where x - h and x + h lie on different sides, steps of h/10 and h/100 are
              tried; an entry that is closer still is skipped and counted.
    -> GradientCheck; `.raise_on_failure()` turns a failure into an exception
    """
    if mode not in ("all", "direction"):
        raise ValueError(f"mode: found {mode!r}, expected 'all' or 'direction'")
    rng = np.random.default_rng([seed, _STREAM])
    inputs = {key: _as_float64(key, array) for key, array in inputs.items()}
    passes = Passes(forward, backward, inputs, rng)
    errors, skipped, failures, expected = {}, {}, list(passes.failures), {}
    for key, yours in passes.gradients.items():
        if failure := diagnosis.wrong_kind_of_value(f"d{key}", yours):
            failures.append(failure)
            continue
        if mode == "all" or yours.shape != inputs[key].shape:
            slopes = entry_slopes(passes, key, step, kinks)
        else:
            slopes = directional_slopes(passes, key, yours, step, kinks, rng, directions)
        expected[key], skipped[f"d{key}"] = slopes, int(slopes.skipped.sum())
        if slopes.skipped.size and slopes.skipped.all():
            failures.append(diagnosis.Failure(f"d{key}", "skipped", "every entry is at a kink: nothing was checked"))
        if yours.shape == inputs[key].shape:
            errors[f"d{key}"] = slopes.worst_error(tolerance)
    for key in expected:
        if passes.gradients[key].shape != inputs[key].shape or not errors[f"d{key}"] <= tolerance:
            failures.append(diagnosis.explain(key, passes, expected, tolerance))
    name = name or str(getattr(backward, "__name__", "backward"))
    return GradientCheck(name, seed, tolerance, errors, skipped, failures)


def check_loss_gradients(
    loss_and_grads: Callable[[dict[str, np.ndarray]], tuple[Any, dict[str, np.ndarray]]],
    params: dict[str, np.ndarray],
    *,
    directions: int = 3,
    seed: int,
    tolerance: float = 1e-6,
    step: float = 1e-6,
    name: str = "loss",
) -> GradientCheck:
    """The same for a whole model: the slope of its loss along random directions in parameter space.

    loss_and_grads  loss_and_grads(params) -> loss (a number), gradients (dict; what has none is held fixed)
    params          dict from name to float64 array
    -> GradientCheck, whose `errors` are one a direction

    A direction moves all parameters at once, each by more the smaller its gradient is (up to 30 times), so that a
    small parameter's mistake is not lost among large ones. Kinks need not be declared: the slope is taken with two
    steps, and a direction along which they disagree is drawn again. If a direction fails, the parameters are tried
    one by one to name the wrong ones.
    """
    for key, array in params.items():
        if array.dtype != np.float64:
            raise ValueError(f"params[{key!r}]: found {array.dtype}, expected float64 (a difference needs its digits)")
    line = Line(loss_and_grads, params, step, tolerance, np.random.default_rng([seed, _STREAM]))
    failures = [
        diagnosis.Failure(key, "mutated input", f"the parameter {key!r} was changed by computing its gradient")
        for key in line.changed
    ]
    for key, gradient in line.gradients.items():
        if key not in params:
            failures.append(diagnosis.Failure(key, "unknown", f"a gradient for {key!r}, which is no parameter"))
        else:
            wrong = diagnosis.wrong_kind_of_value(key, gradient) or diagnosis.wrong_shape(key, gradient, params[key])
            failures += [wrong] if wrong else []
    if failures:
        return GradientCheck(name, seed, tolerance, {}, {}, failures)
    names = list(line.gradients)
    errors = {f"direction {i + 1}": line.error(names)[0] for i in range(directions)}
    if any(not error <= tolerance for error in errors.values()):
        for key in names:
            error, yours, difference = line.error([key])
            if not error <= tolerance:
                failures.append(diagnosis.along_a_direction(key, line.gradients[key], error, yours, difference))
        if not failures:
            failures = [diagnosis.Failure("all", "other", "the parameters fail together, though none does alone")]
    return GradientCheck(name, seed, tolerance, errors, {}, failures)


def _as_float64(key: str, array: Any) -> np.ndarray:
    array = np.asarray(array)
    if array.dtype.kind != "f":
        raise ValueError(f"inputs[{key!r}]: found {array.dtype}, expected floats (bind the others with a lambda)")
    return np.array(array, dtype=np.float64)
