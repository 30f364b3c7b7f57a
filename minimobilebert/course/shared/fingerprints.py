"""A few numbers for a result, so that a known wrong answer can be recognised by what it returns.

    prints = fingerprint(result)            [["[0].x", "float64", [2, 3], numbers], ...], of numbers and arrays
    different(wrong, right)                 those of a wrong answer that are not the right one's
    agrees(prints, result)                  True if a student's result has the same ones

A student edition does not contain wrong answers. It has the prints of their results, beside the recorded right ones.
"""

import numpy as np

from .comparison import leaves

DIGITS = {"float64": 1e-9, "float32": 1e-5}  # relative to the length of the array
PROJECTIONS = 3


def fingerprint(result):
    """-> [[path, dtype, shape, [length, products with random directions]]] of all numbers in a result"""
    found = []
    for path, leaf in leaves("", result):
        if isinstance(leaf, (np.ndarray, np.generic, float, int)) and np.asarray(leaf).dtype.kind in "biuf":
            array = np.asarray(leaf)
            x = array.astype(np.float64).ravel()
            with np.errstate(all="ignore"):
                drawn = np.random.default_rng(0).standard_normal((PROJECTIONS, x.size))
                numbers = [float(np.linalg.norm(x)), *(drawn @ x).tolist()]
            found.append([path, str(array.dtype), list(array.shape), numbers])
    return found


def _same(one, other):
    if one[1:3] != other[1:3]:
        return False
    a, b = (np.nan_to_num(np.array(each[3]), nan=0.5) for each in (one, other))
    scale = max(abs(b[0]), 1e-300)
    with np.errstate(all="ignore"):
        return bool((np.abs(a - b) <= DIGITS.get(one[1], 1e-12) * scale).all())


def different(wrong, right):
    """The prints of a wrong answer that differ from the right ones; [] if nothing can be told from them

    Of a pair of a result and a cache it is the result alone, unless only the cache is wrong: a cache has several forms.
    """
    beside = {each[0]: each for each in right}
    if not {each[0] for each in wrong} & beside.keys():
        return []
    found = [each for each in wrong if each[0] not in beside or not _same(each, beside[each[0]])]
    found = [each for each in found if np.isfinite(each[3]).all()]  # a NaN would be that of any other mistake
    first = [each for each in found if each[0].startswith("[0]")]
    is_cache = any(each[0].startswith("[1].") for each in right)
    return first if first and is_cache else found


def agrees(prints, result):
    """True if the numbers of `result` under these paths are those of the prints"""
    beside = {each[0]: each for each in fingerprint(result)}
    return bool(prints) and all(each[0] in beside and _same(beside[each[0]], each) for each in prints)
