"""Split the result of an operation: y and cache of a forward, the gradients of a backward.

The result of a student's function may have any form; Different names the expected one.
"""

import numpy as np

from .comparison import Different


def as_tuple(value):
    """A tuple or list as a tuple, any other value as a tuple of one"""
    return tuple(value) if isinstance(value, (tuple, list)) else (value,)


def gradients_of(result, names):
    """The gradients that a backward returned, one per name. Different if there are fewer or more."""
    result = as_tuple(result)
    if len(result) < len(names) or any(extra is not None for extra in result[len(names) :]):
        text = f"{len(result)} gradients were returned, expected {len(names)}: {', '.join(names)}"
        raise Different("result", (), text)
    return result[: len(names)]


def is_array(name, value, shape):
    """Different unless `value` is an array of this shape"""
    if not isinstance(value, np.ndarray) or value.shape != shape:
        raise Different(name, (), f"{name} is not an array of shape {shape}", certainty=0)


def split(result, names, cache):
    """The result of the reference's forward -> its outputs, its cache or None"""
    parts = result[:-1] if cache else as_tuple(result)
    if len(parts) == 1 and len(names) > 1:
        parts = as_tuple(parts[0])
    return parts, (result[-1] if cache else None)


def split_result(result, names, cache):
    """The result of the student's forward -> its outputs, its cache or None. Different if it has another form."""
    wanted = f"{', '.join(names)}{', cache' if cache else ''}"
    if cache and not (isinstance(result, tuple) and len(result) in (2, len(names) + 1)):
        raise Different("result", (), f"the function returned no pair: expected {wanted}")
    parts, kept = split(result, names, cache)
    if len(parts) != len(names):
        raise Different("result", (), f"the function returned {len(parts)} results, expected {wanted}")
    return parts, kept
