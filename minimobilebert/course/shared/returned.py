"""What an operation returned, taken apart: y and cache of a forward, the gradients of a backward.

Results of the student's function may have any form; Different says which one was expected.
"""

import numpy as np

from .comparison import Different


def as_tuple(value):
    """Several results or one -> a tuple"""
    return tuple(value) if isinstance(value, (tuple, list)) else (value,)


def gradients_of(result, names):
    """What a backward returned, one for each name; Different where there are fewer or more."""
    result = as_tuple(result)
    if len(result) < len(names) or any(extra is not None for extra in result[len(names) :]):
        text = f"{len(result)} gradients were returned, expected {len(names)}: {', '.join(names)}"
        raise Different("result", (), text)
    return result[: len(names)]


def is_array(name, value, shape):
    """Different unless `value` is an array of this shape"""
    if not isinstance(value, np.ndarray) or value.shape != shape:
        raise Different(name, (), f"{name} is not an array of shape {shape}")


def split(result, names, cache):
    """What the reference's forward returned -> its outputs, its cache or None"""
    parts = result[:-1] if cache else as_tuple(result)
    if len(parts) == 1 and len(names) > 1:
        parts = as_tuple(parts[0])
    return parts, (result[-1] if cache else None)


def split_mine(result, names, cache):
    """The same for the student's; Different where it has another form"""
    wanted = f"{', '.join(names)}{', cache' if cache else ''}"
    if cache and not (isinstance(result, tuple) and len(result) in (2, len(names) + 1)):
        raise Different("result", (), f"the function returned no pair: expected {wanted}")
    parts, kept = split(result, names, cache)
    if len(parts) != len(names):
        raise Different("result", (), f"the function returned {len(parts)} results, expected {wanted}")
    return parts, kept
