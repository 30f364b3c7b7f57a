"""Describe a wrong gradient in words: what failed, at which entry, and what it looks like (patterns.py).

A pattern compares the whole gradient with the whole finite difference. Its result is a fact, such as "the transpose
would pass". The likely cause in the message is a guess.
"""

import dataclasses

import numpy as np

from .factors import CLOSE
from .patterns import another_one, pattern_of_shape, pattern_of_values


@dataclasses.dataclass(frozen=True)
class Failure:
    """One failure of a check."""

    tensor: str
    kind: str  # "zeros", "transposed", ...
    text: str  # the diagnosis
    lines: tuple = ()  # (label, text); labels: where, analytic, shapes


def wrong_kind_of_value(name, gradient):
    """A Failure if `gradient` is not a float64 array, else None."""
    if not isinstance(gradient, np.ndarray):
        # This includes NumPy scalars, such as the sum of a 1-d array.
        return Failure(name, "missing", f"{name} is {type(gradient).__name__}, expected an array")
    if gradient.dtype != np.float64:
        text = f"{name} is {gradient.dtype} though everything that went in is float64"
        if gradient.dtype == bool:
            text += ": the comparison alone, not multiplied by the upstream gradient?"
        return Failure(name, "dtype", text)
    return None


def wrong_shape(name, gradient, array):
    """A Failure if the two shapes differ, else None."""
    if gradient.shape == array.shape:
        return None
    return Failure(name, "shape", f"{name} has shape {gradient.shape}, expected {array.shape}")


def along_a_direction(key, gradient, error, analytic, expected):
    """The Failure of one parameter of a model, from its directional derivative along one random direction."""
    lines = (
        ("analytic", f"{analytic:.6g}      finite difference {expected:.6g}      along one random direction"),
        ("shapes", f"{key} {gradient.shape} ok      dtype float64 ok"),
    )
    if not gradient.any():
        return Failure(key, "zeros", "zeros: is it computed, and filed under this name?", lines)
    return Failure(key, "other", f"a relative error of {error:.1e}: check the operation it belongs to by itself", lines)


@dataclasses.dataclass
class Known:
    """What a diagnosis may use besides the two arrays: the attributes of Passes that it reads.

    inputs, dy, ignores_dy, gradients   as in Passes
    named                    {name: array or number} of everything that the function was given
    depends                  a function of an input's name -> a sentence on what its gradient depends on, or None; it
                             may have a method what_if(name, expected, limit): a change that makes the result right
    upstream                 the name of the upstream gradient among them, "" for none
    """

    inputs: dict
    dy: list = ()
    ignores_dy: set = frozenset()
    gradients: dict = dataclasses.field(default_factory=dict)
    named: dict = dataclasses.field(default_factory=dict)
    depends: object = None
    upstream: str = ""

    def labelled(self):
        """`named` with "the upstream gradient dy" for "dy" """
        return labelled(self.named, self.upstream)


def labelled(named, upstream):
    """{name: value} with the upstream gradient called so"""
    return {f"the upstream gradient {name}" if upstream and name.partition("[")[0] == upstream else name: value
            for name, value in named.items()}  # fmt: skip


def explain(key, passes, slopes, tolerance):
    """The Failure of the gradient of input `key`, with a diagnosis."""
    gradient, found = passes.gradients[key], slopes[key]
    name, shape = f"d{key}", passes.inputs[key].shape
    if gradient.shape != shape:
        kind, text = pattern_of_shape(gradient, found.expected)
        if kind == "shape":
            kind, text = another_one(key, gradient, passes, slopes) or (kind, text)
        lines = (("shapes", f"{name} {gradient.shape}, expected {shape}      dtype float64 ok"),)
        return Failure(name, kind, text, lines)
    kept = ~found.skipped
    analytic, expected = np.where(kept, found.analytic, 0.0), np.where(kept, found.expected, 0.0)
    kind, text = pattern_of_values(key, analytic, expected, passes, slopes, tolerance)
    return Failure(name, kind, text, tuple(_where(name, gradient, found, analytic, expected, tolerance)))


def _where(name, gradient, found, analytic, expected, tolerance):
    errors = found.relative_errors(tolerance)
    errors = np.where(np.isnan(errors), np.inf, errors)
    index = np.unravel_index(int(errors.argmax()), errors.shape)
    wrong = int((~(errors <= tolerance)).sum())
    what = "entries" if analytic.shape == gradient.shape else "random directions"
    location = f"{name}[{', '.join(map(str, index))}]" if what == "entries" else f"direction {index[0]}"
    yield "where", f"{location}, the worst of {errors.size} {what}; {wrong} of them wrong"
    large = np.abs(expected) > 1e-3 * np.abs(expected).max(initial=0.0)
    ratio = ""
    if expected[index] != 0.0 and analytic.any() and np.isfinite(analytic[index]):
        ratio = f"      ratio {analytic[index] / expected[index]:.4g}"
        ratios = analytic[large] / expected[large]
        if ratios.size > 1 and np.ptp(ratios) <= CLOSE * np.abs(ratios).max():
            ratio += f" on every entry (spread {np.ptp(ratios):.0e})"
    digits = 6 if abs(analytic[index] - expected[index]) > 1e-3 * abs(expected[index]) else 12
    yield "analytic", f"{analytic[index]:.{digits}g}      finite difference {expected[index]:.{digits}g}{ratio}"
    yield "shapes", f"{name} {gradient.shape} ok      dtype float64 ok"


def report(check):
    """A GradientCheck as text."""
    good = [name for name, error in check.errors.items() if name not in {f.tensor for f in check.failures}]
    if not check.failures:
        skipped = sum(check.skipped.values())
        note = f", {skipped} entries at kinks left out" if skipped else ""
        return f"{check.name}: passed, worst relative error {check.worst:.1e}{note}"
    lines = []
    for failure in check.failures:
        lines.append(f"{check.name}: {failure.tensor} is wrong" if failure.lines else f"{check.name}: {failure.kind}")
        lines += [f"  {label:<10}  {text}" for label, text in failure.lines]
        lines.append(f"  looks like  {failure.text}" if failure.lines else f"  {failure.text}")
    lines.append(f"  passes      {', '.join(good) or 'nothing'}")
    lines.append(f"  replay      seed={check.seed}")
    return "\n".join(lines)
