"""By which number is a result wrong? Names for a constant factor: sizes, averages, numbers among the inputs.

cause_of_factor(0.2, known, 1e-8)  -> ". Is it one over an axis length, 5: an average where a sum is meant?"
"""

import math

import numpy as np

CLOSE = 1e-4  # relative; far above the error of a finite difference, far below that of a bug
MOST = 3  # causes that a message lists


def close_to(a, b):
    """Equal relative to the largest of b"""
    return a.shape == b.shape and bool(np.abs(a - b).max(initial=0.0) <= CLOSE * np.abs(b).max(initial=0.0))


def cause_of_factor(factor, known, limit):
    """The causes of a constant factor as the end of a sentence, or "" """
    causes = [(2.0, "one path counted twice"), (0.5, "the 2 of a square's derivative")]
    for name, value in known.labelled().items():
        causes += _of_number(name, only_number(value))
    for size, what in _head_sizes(known).items():
        causes += [
            (size**0.5, f"the square root of {what}: a scale left out"),
            (size**-0.5, f"one over the square root of {what}: a scale applied twice"),
        ]
    sizes = _sizes(known)
    for size, what in sorted(sizes.items()):
        causes += [
            (float(size), f"{what}, {size}: a sum where an average is meant"),
            (1.0 / size, f"one over {what}, {size}: an average where a sum is meant"),
            (size**0.5, f"the square root of {what}, {size}: a scale left out"),
            (size**-0.5, f"one over the square root of {what}, {size}: a scale applied twice, or a sum under a root"),
        ]
    lengths = sorted(size for size, what in sizes.items() if what == "an axis length")
    for a in lengths:
        causes += [(a / b, f"{a} over {b}, two axis lengths: one for the other") for b in lengths if a != b]
    fitting = [cause for value, cause in causes if abs(factor / value - 1.0) < limit]
    # Weights of 1/2 make plus for minus a factor of 3, which a sum over 3 explains better.
    fitting = [cause for cause in fitting if ": plus " not in cause] or fitting
    return f". Is it {', or '.join(fitting[:MOST])}?" if fitting else ""


def _head_sizes(known):
    """{K: "5, 15 over 3"} where an axis of an array is a multiple of another axis: the columns of one head"""
    axes = {n for array in [*known.inputs.values(), *known.dy, *known.named.values()] for n in np.shape(array) if n > 1}
    axes |= {int(n) for n in known.named.values() if isinstance(n, (int, np.integer)) and n > 1}
    pairs = [(a, b) for a in sorted(axes) for b in sorted(axes) if a > b and a % b == 0]
    return {a // b: f"{a // b}, which is {a} over {b}" for a, b in pairs}


def only_number(value):
    """The number of a scalar, or the only one beside 0 in an array; None if there are several, or for 0 and 1"""
    if not isinstance(value, np.ndarray):
        number = float(value)
    elif value.dtype.kind == "f" and value.any() and np.isfinite(value).all():
        others = value[value != 0.0]
        number = float(others.flat[0])
        if not close_to(others, np.full(others.shape, number)):
            return None
    else:
        return None
    return number if abs(number) not in (0.0, 1.0) and math.isfinite(number) else None


def _of_number(name, number):
    if number is None:
        return
    yield number, f"{name}: a factor once too often, or a division by it left out"
    yield 1.0 / number, f"one over {name}: a factor left out, or a division by it once too often"
    yield number**2, f"the square of {name}: multiplied by it instead of divided"
    yield number**-2, f"one over the square of {name}: divided by it instead of multiplied"
    if number > 0.0:
        yield number**0.5, f"the square root of {name}: inside a root, or outside?"
        yield number**-0.5, f"one over the square root of {name}: inside a root, or outside?"
    if 0.0 < number < 1.0:
        rest, more = 1.0 - number, 1.0 + number
        yield rest, f"1 - {name}: a factor once too often, or a division by it left out"
        yield 1.0 / rest, f"one over 1 - {name}: a factor left out, or a division by it once too often"
        yield rest / more, f"(1 - {name}) / (1 + {name}): plus {name} for minus {name}"
        yield more / rest, f"(1 + {name}) / (1 - {name}): plus {name} for minus {name}"


def _sizes(known):
    """{size: what has it} of all arrays, above 2; and how many entries of a mask are True, above 1"""
    arrays = [*known.inputs.values(), *known.dy, *known.named.values()]
    everything = {int(np.size(array)): "the number of entries" for array in arrays}
    counts = {int(array.sum()): f"how often {name} is True" for name, array in known.named.items()
              if isinstance(array, np.ndarray) and array.dtype.kind == "b"}  # fmt: skip
    rows = {math.prod(np.shape(array)[:-1]): "the number of rows" for array in arrays}
    axes = {n: "an axis length" for array in arrays for n in np.shape(array)}
    return {n: what for n, what in (everything | counts | rows | axes).items() if n > 2 or (n == 2 and n in counts)}
