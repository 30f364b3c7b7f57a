"""Describe a wrong gradient in words.

Each test below compares the whole gradient with the whole finite difference. Its result is a fact, such as "the
transpose would pass". The likely cause in the message is a guess.
"""

import dataclasses
import itertools
import math

import numpy as np

CLOSE = 1e-4  # relative; far above the error of a finite difference, far below that of a bug


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
        return Failure(name, "dtype", f"{name} is {gradient.dtype} though everything that went in is float64")
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


def explain(key, passes, slopes, tolerance):
    """The Failure of the gradient of input `key`, with a diagnosis."""
    gradient, found = passes.gradients[key], slopes[key]
    name, shape = f"d{key}", passes.inputs[key].shape
    if gradient.shape != shape:
        kind, text = pattern_of_shape(gradient, found.expected)
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


def _close(a, b):
    return a.shape == b.shape and bool(np.abs(a - b).max(initial=0.0) <= CLOSE * np.abs(b).max(initial=0.0))


def _adds_up_to_zero(array, axis):
    return array.shape[axis] > 1 and bool(np.abs(array.sum(axis=axis)).max() <= CLOSE * np.abs(array).max())


def pattern_of_shape(analytic, expected):
    if analytic.shape == expected.shape[::-1] and _close(analytic.T, expected):
        return "transposed", "the transpose of the right gradient"
    for count in range(1, analytic.ndim + 1):
        for axes in itertools.combinations(range(analytic.ndim), count):
            if _close(analytic.sum(axis=axes), expected):
                return "not summed", (
                    f"the terms are there but not summed over axis {', '.join(map(str, axes))}: what the forward"
                    " broadcasts, the backward sums"
                )
    if analytic.size == expected.size and _close(analytic.reshape(expected.shape), expected):
        return "shape", "the right numbers in another shape: a gradient has the shape of its array"
    return "shape", "a gradient has the shape of its array"


def pattern_of_values(key, analytic, expected, passes, slopes, tolerance):
    if not np.isfinite(analytic).all():
        return "not finite", "NaN or infinity: 0/0, or an overflow before a division?"
    if not analytic.any():
        return "zeros", "zeros: is the result written, and returned?"
    if not expected.any():
        return "other", "the output does not depend on this input at all"
    if key in passes.ignores_dy:
        return "no upstream gradient", (
            "it is the same for every dy: the local derivative alone, not multiplied by the upstream gradient"
        )
    if _close(analytic, expected):
        return "nearly right", "nearly right: a constant with few digits, a forgotten epsilon, a float32 step, a kink?"
    factor = float((analytic * expected).sum() / (expected * expected).sum())
    if _close(analytic, factor * expected):
        if _close(analytic, -expected):
            return "sign", "the right gradient with the opposite sign"
        cause = _cause_of_factor(factor, passes)
        if cause or expected.size > 1:  # for a single number there is always such a factor
            text = cause or ": a constant of the forward left out, or applied twice?"
            return "constant factor", f"a constant factor {factor:.4g}{text}"
    for other, other_slopes in slopes.items():
        if other != key and _close(analytic, other_slopes.expected):
            return "swapped", f"the gradient of {other}: two results in the wrong order?"
    if analytic.shape == passes.inputs[key].shape:
        for axes in itertools.permutations(range(analytic.ndim)):
            if axes != tuple(range(analytic.ndim)) and _close(expected.transpose(axes), analytic):
                return "transposed", f"the right gradient with its axes in the order {axes}: a transpose"
        for dy in passes.dy:
            for axes in itertools.permutations(range(dy.ndim)) if dy.size == analytic.size else ():
                if _close(analytic.reshape(dy.shape).transpose(axes).reshape(analytic.shape), expected):
                    return "permuted", f"transpose{axes} is missing before the reshape, which moves no numbers itself"
        if _close(np.sort(analytic, axis=None), np.sort(expected, axis=None)):
            return "permuted", "the right numbers in the wrong places: a wrong index, or an order not undone"
        for axis in range(analytic.ndim):
            difference = analytic - expected
            if analytic.shape[axis] > 1 and _close(
                difference, np.broadcast_to(difference.mean(axis=axis, keepdims=True), difference.shape)
            ):
                return "missing average", (
                    f"off by a constant along axis {axis}: a term that sums or averages over that axis is missing"
                )
        for axis in range(analytic.ndim):
            if _adds_up_to_zero(expected, axis) and not _adds_up_to_zero(analytic, axis):
                return "no zero sum", (
                    f"the right numbers add up to 0 along axis {axis} and these do not: is a sum over that axis"
                    " missing, or wrong?"
                )
        errors = slopes[key].relative_errors(tolerance)
        good = errors <= tolerance
        if good.any() and not good[expected != 0.0].any():  # zeros, at padding for example, do not test the formula
            return "other", "only zeros are right: check the formula, one factor at a time"
        if (right := int(good.sum())) > 0 and right >= errors.size // 4:
            return "some entries", f"{right} of {errors.size} entries are right: borders, repeated indices or a branch?"
    return "other", "no common mistake: check the formula, one factor at a time"


def _cause_of_factor(factor, passes):
    causes = [(2.0, "one path counted twice"), (0.5, "the 2 of a square's derivative")]
    sizes = {n: "an axis length" for array in (*passes.inputs.values(), *passes.dy) for n in array.shape if n > 2}
    rows = {math.prod(dy.shape[:-1]): "the number of rows" for dy in passes.dy if math.prod(dy.shape[:-1]) > 2}
    for size, what in sorted((rows | sizes).items()):
        causes += [
            (float(size), f"{what}, {size}: a sum where an average is meant"),
            (1.0 / size, f"one over {what}, {size}: an average where a sum is meant"),
            (size**0.5, f"the square root of {what}, {size}: a scale left out"),
            (size**-0.5, f"one over the square root of {what}, {size}: a scale applied twice"),
        ]
    fitting = [cause for value, cause in causes if abs(factor / value - 1.0) < CLOSE]
    return f". Is it {', or '.join(fitting)}?" if fitting else ""


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
