"""The gradient checker: compares a backward pass with finite differences of its forward pass.

A backward pass is correct if, for EVERY upstream gradient dy, it returns the gradient of the scalar

    L(inputs) = sum(dy * forward(inputs))

We draw a random dy and compare the analytic gradient with a central difference, entry by entry:

    dL/dx[i] = (L(x + h e_i) - L(x - h e_i)) / 2h   +   an error of order h^2

The reasons for the details:

* dy is random. With dy = 1 everywhere, a softmax backward that returns zeros, a LayerNorm backward without its scale
  and every wrong permutation pass.
* float64. In float32, the difference of two nearly equal numbers has no correct digits. To check a float32 kernel,
  compare it with its float64 version.
* h = 1e-5. The truncation error falls with h^2, and the rounding error (1e-16 / h) grows; near 1e-5 both are about
  1e-10.
* Each evaluation gets its own copy of the inputs. If an output is a view of an input, a change of the input in place
  would also change the saved output, and all differences would be 0.
* The error is relative to the largest entry of the same gradient. Relative to each entry, entries that are 0 by
  cancellation would fail although they are correct. A gradient that is 0 everywhere has no scale; a deviation within
  the rounding noise of the difference then counts as no more than the tolerance.

We also check that the backward is linear in dy, that it changes neither its inputs nor the cache, and that each
gradient has the shape and dtype of its array. `diagnosis.py` describes the failures.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np

from . import diagnosis
from .differences import Line, directional_slopes, entry_slopes
from .passes import Passes

# Inputs are often drawn from default_rng(seed) with the same seed. With the same stream, dy would be equal to x, and
# for dy = x the gradient of LayerNorm, for example, is always 0.
_STREAM = 0x6C


class GradientError(AssertionError):
    """A backward pass is wrong. The message has the entry, the error and a diagnosis."""


@dataclasses.dataclass(frozen=True)
class GradientCheck:
    """The result of a check.

    errors    the largest relative error of each gradient, by name ("dx", "dweight", ...)
    skipped   the number of entries that were skipped because of a kink, by name
    failures  empty if all checks passed
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
        """The largest of `errors`; 0 if there are none."""
        return max(self.errors.values(), default=0.0)

    def __str__(self) -> str:
        return diagnosis.report(self)

    def raise_on_failure(self) -> "GradientCheck":
        """This result, or GradientError with the full report if a check failed."""
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
    backward  backward(dy, cache) -> the gradients of the inputs in order; dy has the structure of y
    inputs    {name: array} of the inputs with a gradient (bind labels, masks and sizes with a lambda)
    mode      "all": all entries. "direction": `directions` random directions for each input, for large inputs
    kinks     kinks(*inputs.values()) -> an array or a tuple of arrays with entries that change sign at a kink of
              `forward` (ReLU: x itself). If x - h and x + h are on different sides of a kink, we try h/10 and h/100,
              and otherwise skip and count the entry.
    -> GradientCheck; `.raise_on_failure()` raises GradientError for a failure
    """
    if mode not in ("all", "direction"):
        raise ValueError(f"mode: found {mode!r}, expected 'all' or 'direction'")
    rng = np.random.default_rng([seed, _STREAM])
    inputs = {key: _as_float64(key, array) for key, array in inputs.items()}
    passes = Passes(forward, backward, inputs, rng)
    errors, skipped, failures, expected = {}, {}, list(passes.failures), {}
    for key, analytic in passes.gradients.items():
        if failure := diagnosis.wrong_kind_of_value(f"d{key}", analytic):
            failures.append(failure)
            continue
        if mode == "all" or analytic.shape != inputs[key].shape:
            slopes = entry_slopes(passes, key, step, kinks)
        else:
            slopes = directional_slopes(passes, key, analytic, step, kinks, rng, directions)
        expected[key], skipped[f"d{key}"] = slopes, int(slopes.skipped.sum())
        if slopes.skipped.size and slopes.skipped.all():
            failures.append(diagnosis.Failure(f"d{key}", "skipped", "every entry is at a kink: nothing was checked"))
        if analytic.shape == inputs[key].shape:
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
    """Check the gradients of a whole model: directional derivatives of its loss in parameter space.

    loss_and_grads  loss_and_grads(params) -> loss (a number), gradients (dict; parameters without one are fixed)
    params          {name: float64 array}
    -> GradientCheck, with one of `errors` per direction

    A direction changes all parameters at once. Parameters with smaller gradients change more (up to 30 times), so that
    errors in them are visible among larger gradients. Kinks need no declaration: we compute the derivative with two
    step sizes and draw another direction if they disagree. If a direction fails, we check each parameter separately to
    name the wrong ones.
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
            error, analytic, difference = line.error([key])
            if not error <= tolerance:
                failures.append(diagnosis.along_a_direction(key, line.gradients[key], error, analytic, difference))
        if not failures:
            failures = [diagnosis.Failure("all", "other", "the parameters fail together, though none does alone")]
    return GradientCheck(name, seed, tolerance, errors, {}, failures)


def _as_float64(key: str, array: Any) -> np.ndarray:
    array = np.asarray(array)
    if array.dtype.kind != "f":
        raise ValueError(f"inputs[{key!r}]: found {array.dtype}, expected floats (bind the others with a lambda)")
    return np.array(array, dtype=np.float64)
