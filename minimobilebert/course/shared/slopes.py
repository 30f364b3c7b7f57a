"""Compare a student's gradients with central differences of the reference's forward, for a random upstream gradient."""

import dataclasses

import numpy as np

from ...gradcheck import diagnosis
from ...gradcheck.differences import Slopes, entry_slopes
from ...gradcheck.patterns import certainty as certainty_of
from ..sandbox.wire import Seeded
from .comparison import Different
from .returned import as_tuple
from .trial import reference

STEP, TOLERANCE = 1e-5, 1e-6  # for central differences in float64, whose error is near 1e-9


def live(args):
    """The arguments with new random generators, as in the student's process"""
    return {key: np.random.default_rng(v.seed) if isinstance(v, Seeded) else v for key, v in args.items()}


def run_forward(forward, args, outputs):
    """-> the shapes of the outputs, and the cache"""
    result = reference(forward)(**live(args))
    ys = as_tuple(result[0]) if outputs > 1 and len(result) == 2 else result[:outputs]
    return {"shapes": [list(np.shape(y)) for y in ys], "cache": result[-1]}


class _Reference:
    """The reference's forward with the interface of gradcheck's Passes, for `entry_slopes`."""

    def __init__(self, forward, args, wrt, dy, outputs):
        self.function, self.args, self.outputs = reference(forward), args, outputs
        self.inputs = {key: args[key] for key in wrt if isinstance(args[key], np.ndarray)}
        self.gradients = {key: np.zeros_like(array) for key, array in self.inputs.items()}
        self.dy = [np.asarray(part) for part in (as_tuple(dy) if outputs > 1 else (dy,))]

    def evaluate(self, inputs):
        result = self.function(**{**live(self.args), **{key: array.copy() for key, array in inputs.items()}})
        ys = as_tuple(result[0]) if self.outputs > 1 and len(result) == 2 else result[: self.outputs]
        return [np.array(y, dtype=np.float64) for y in ys]


def slopes_of(forward, args, wrt, dy, outputs, kinks):
    """{name: {expected, noise, skipped}} by central differences"""
    run = _Reference(forward, args, wrt, dy, outputs)
    kink = None if kinks is None else (lambda *inputs: kinks(**{**args, **dict(zip(run.inputs, inputs, strict=True))}))
    found = {key: entry_slopes(run, key, STEP, kink) for key in run.inputs}
    return {key: {"expected": s.expected, "noise": s.noise, "skipped": s.skipped} for key, s in found.items()}


def against_slopes(t, wrt, returned, other, args, dy, slopes):
    """Different if one of the `returned` gradients is missing or wrong; other: those of another dy, must differ

    t.known: what a diagnosis may use; t.known.depends takes the name of an argument
    """
    gradients = {}
    for key, gradient in zip(wrt, returned, strict=True):
        if args[key] is None:
            t.require(gradient is None, f"d{key} is given though there is no {key}: expected None", f"d{key}")
            continue
        if failure := diagnosis.wrong_kind_of_value(f"d{key}", gradient):
            depends = t.known.depends(key) if t.known.depends is not None else None
            raise Different(
                failure.tensor,
                failure.lines,
                failure.text + (f"; {depends}" if depends else ""),
                certainty=2 if depends else 1,
            )
        gradients[key] = gradient
    inputs = {key: args[key] for key in gradients}
    ignores = {key for key, a, b in zip(wrt, returned, other, strict=True)
               if key in gradients and a.size and a.any() and np.array_equal(a, b)}  # fmt: skip
    run = dataclasses.replace(
        t.known, inputs=inputs, gradients=gradients, dy=[np.asarray(part) for part in as_tuple(dy)], ignores_dy=ignores
    )
    found, wrong, good = {}, [], []
    for key, gradient in gradients.items():
        s = slopes[key]
        analytic = gradient if gradient.shape == inputs[key].shape else np.full(inputs[key].shape, np.nan)
        finite = [np.abs(a[np.isfinite(a)]).max(initial=0.0) for a in (analytic, s["expected"])]
        found[key] = Slopes(s["expected"], analytic, s["noise"], s["skipped"], float(max(finite)))
        right = gradient.shape == inputs[key].shape and found[key].worst_error(TOLERANCE) <= TOLERANCE
        (good if right else wrong).append(key)
    if wrong:
        failures = [diagnosis.explain(key, run, found, TOLERANCE) for key in wrong]
        failure = max(failures, key=lambda failure: certainty_of(failure.kind))  # the first of equal ones
        good, certainty = [f"d{key}" for key in good], certainty_of(failure.kind)
        raise Different(failure.tensor, failure.lines, failure.text, good, certainty)
