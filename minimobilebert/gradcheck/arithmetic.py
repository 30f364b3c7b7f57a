"""Which input explains the difference between a found array and the expected one?

    explain(found, expected, named, close)  -> text or None

named: {name: array or number} of what the function was given, such as {"dy": ..., "cache.rstd": ...}. We test by
arithmetic whether the found array is the right one times, over, plus or minus one of them, whether it is one of them
itself, or whether it is wrong exactly where one of them says. A test is exact to the digits of the comparison, so that
it fits by chance only where an array has two or three numbers.
"""

import itertools
import math

import numpy as np

MOST_NAMES = 24  # arrays that we try; a block has a hundred parameters
MOST_ROWS = 64  # tokens whose term we look for in a difference
FEWEST = 2  # different numbers that an array needs: with one alone everything would be a multiple of it


class Test:
    """One comparison: the found array, the expected one, and the inputs in its shape."""

    def __init__(self, found, expected, named, close):
        self.found, self.expected, self.limit = found, expected, close
        self.difference = found - expected
        self.scale = np.abs(expected).max(initial=0.0)
        arrays = {name: np.asarray(value) for name, value in named.items() if isinstance(value, np.ndarray)}
        self.named = dict(list(arrays.items())[:MOST_NAMES])
        self.numbers = {name: float(x) for name, x in named.items() if not isinstance(x, np.ndarray) and x}
        self.factors = list(self._factors())

    def close(self, a, b):
        """Equal to the digits of this comparison, relative to the largest of b"""
        with np.errstate(all="ignore"):
            return bool(np.abs(a - b).max(initial=0.0) <= self.limit * np.abs(b).max(initial=0.0))

    def _factors(self):
        """(name, array that broadcasts to the found one) of the named arrays of floats that are not constant"""
        for name, array in [*self.named.items(), *_averages(self.named)]:
            if array.dtype.kind in "fb" and np.isfinite(array).all():
                for aligned, note in alignments(array, self.found.shape):
                    aligned = aligned.astype(np.float64)
                    if len(np.unique(aligned)) >= FEWEST:
                        yield f"{name}{'' if name.startswith('the average') else note}", aligned


def _averages(named):
    """(name, average along the last axis) of the arrays of floats"""
    for name, array in named.items():
        if array.dtype.kind == "f" and array.ndim > 1 and array.shape[-1] > 1:
            yield f"the average of {name} along its last axis", array.mean(axis=-1)
            yield f"the average of {name} along its last axis", array.mean(axis=-1, keepdims=True)


def alignments(array, shape):
    """(array with axes of length 1 added so that it broadcasts to `shape`, a note) for all ways to do it"""
    if array.ndim > len(shape) or not array.ndim:
        return
    last = tuple(range(len(shape) - array.ndim, len(shape)))
    for axes in sorted(itertools.combinations(range(len(shape)), array.ndim), key=lambda each: each != last):
        if all(n in (1, shape[axis]) for n, axis in zip(array.shape, axes, strict=True)):
            wide = [1] * len(shape)
            for n, axis in zip(array.shape, axes, strict=True):
                wide[axis] = n
            where = [axis for n, axis in zip(array.shape, axes, strict=True) if n > 1]
            note = f" along axis {', '.join(map(str, where))}" if len(where) < len(shape) and axes != last else ""
            yield array.reshape(wide), note


def terms(found, expected, named, close):
    """[(name, array that broadcasts to the found one)] of the inputs that may be added to each row, as a bias is"""
    if found.shape != expected.shape or not found.ndim:
        return []
    return [(name, array) for name, array in Test(found, expected, named, close).factors
            if "average" not in name and array.size < found.size]  # fmt: skip


def explain(found, expected, named, close):
    """The first test of one input that fits, in words, or None"""
    return _first(found, expected, named, close, (_is_an_input, _times_or_over, _plus_or_minus))


def explain_parts(found, expected, named, close):
    """The first test of two inputs, of a part of the entries or of a term along an axis that fits, or None"""
    tests = (
        _one_for_another, _is_a_product, _is_a_sum_of_parts, _is_a_product_of_sums, _a_row_left_out, _products_added,
        _a_term_turned, _wrong_where, _along,
    )  # fmt: skip
    return _first(found, expected, named, close, tests)


def _first(found, expected, named, close, tests):
    if found.shape != expected.shape or not found.ndim or not expected.any():
        return None
    test = Test(found, expected, named, close)
    return next((text for each in tests if (text := each(test))), None)


def _is_an_input(test):
    for name, array in test.factors:
        if test.close(np.broadcast_to(array, test.found.shape), test.found):
            return f"it is {name}, and nothing else"
    return None


def _is_a_product(test):
    for (name, array), (other, second) in itertools.combinations(test.factors, 2):
        if test.close(np.broadcast_to(array * second, test.found.shape), test.found):
            return f"it is {name} times {other}, and nothing else: a factor or a term is missing"
    return None


def _is_a_sum_of_parts(test):
    for name, array in test.named.items():
        E = test.found.shape[-1]
        if array.dtype.kind == "f" and array.shape[:-1] == test.found.shape[:-1] and E and array.shape[-1] % E == 0:
            parts = array.shape[-1] // E
            if parts > 1 and test.close(array.reshape(*test.found.shape[:-1], parts, E).sum(axis=-2), test.found):
                return f"it is the sum of the {parts} parts of {name} along its last axis, none of which is moved"
    return None


def _rows(test, *widths):
    """(names, arrays [R, N]) of inputs with these numbers of columns and the same number of rows"""
    arrays = [(name, array.reshape(-1, array.shape[-1])) for name, array in test.named.items()
              if array.dtype.kind == "f" and array.ndim > 1 and array.shape[-1]]  # fmt: skip
    for chosen in itertools.product(arrays, repeat=len(widths)):
        shapes = {array.shape[0] for _, array in chosen}
        if len(shapes) == 1 and tuple(array.shape[1] for _, array in chosen) == widths:
            yield [name for name, _ in chosen], [array for _, array in chosen]


def _is_a_product_of_sums(test):
    if test.found.ndim == 1:
        for (name, other), (a, b) in _rows(test, *test.found.shape * 2):
            if name < other and test.close(a.sum(axis=0) * b.sum(axis=0), test.found):
                return f"it is the sum of {name} times the sum of {other}: a product of two sums for a sum of products"
    return None


def _a_row_left_out(test):
    """A gradient of a parameter without the term of one token, or with one twice"""
    if test.found.ndim == 2:
        sums = [(names, a[:, :, None] * b[:, None, :]) for names, (a, b) in _rows(test, *test.found.shape)
                if len(a) <= MOST_ROWS]  # fmt: skip
    elif test.found.ndim == 1:
        sums = [(names, a) for names, (a,) in _rows(test, *test.found.shape)]
        sums += [(names, a * b) for names, (a, b) in _rows(test, *test.found.shape * 2)]
    else:
        return None
    for names, terms in sums:
        for row, term in enumerate(terms[:MOST_ROWS]):
            for sign, text in ((-1.0, "is left out"), (1.0, "is added twice")):
                if np.abs(test.difference - sign * term).max() <= test.limit * test.scale:
                    return f"the term of one token {text}: row {row} of {' times '.join(names)}"
    return None


def _times_or_over(test):
    for name, array in test.factors:
        if test.close(test.expected * array, test.found):
            return f"the right one times {name}: is it a factor once too often, or a division by it missing?"
        if test.close(test.found * array, test.expected) and test.found.any():
            return f"the right one over {name}: is it missing as a factor, or divided by once too often?"
        if test.close(test.expected * array * array, test.found):
            return f"the right one times the square of {name}: multiplied by it instead of divided?"
        if test.close(test.found * array * array, test.expected) and test.found.any():
            return f"the right one over the square of {name}: divided by it instead of multiplied?"
    return None


TERMS = {
    -1.0: "the right one minus {0}: that is not added",
    1.0: "the right one plus {0}: that is added once too often, or not subtracted",
    -2.0: "the right one minus twice {0}: that has the opposite sign",
    2.0: "the right one plus twice {0}: that has the opposite sign",
}


def _plus_or_minus(test):
    for name, array in test.factors:
        wide = np.broadcast_to(array, test.found.shape)
        coefficient = float((test.difference * wide).sum() / (wide * wide).sum())
        if coefficient and np.abs(test.difference - coefficient * wide).max() <= test.limit * test.scale:
            for value, text in TERMS.items():
                if abs(coefficient - value) < 1e-6:
                    return text.format(name)
            return f"off by {coefficient:.4g} times {name}: a term with it is missing, or has another sign or factor"
    constant = float(test.difference.flat[0])
    if np.abs(test.difference - constant).max() <= test.limit * test.scale:
        for name, number in test.numbers.items():
            for value, text in TERMS.items():
                if abs(constant - value * number) <= test.limit * abs(number):
                    return text.format(name)
        for n in sorted({n for array in test.named.values() for n in array.shape if n > 2}):
            if abs(abs(constant) - math.log(n)) <= test.limit:
                return f"off by the logarithm of an axis length, {n}: an average where a sum is meant, or the reverse"
    return None


def _products_added(test):
    for (name, array), (other, second) in itertools.combinations(test.factors, 2):
        if test.close(np.broadcast_to(array - second, test.found.shape), test.difference):
            return f"{name} is added where {other} is expected"
        if test.close(np.broadcast_to(second - array, test.found.shape), test.difference):
            return f"{other} is added where {name} is expected"
        wide = np.broadcast_to(array * second, test.found.shape)
        coefficient = float((test.difference * wide).sum() / (wide * wide).sum())
        if coefficient and np.abs(test.difference - coefficient * wide).max() <= test.limit * test.scale:
            what = f"{name} times {other}"
            for value, text in TERMS.items():
                if abs(coefficient - value) < 1e-6:
                    return text.format(what)
            return f"off by {coefficient:.4g} times {what}: that term is missing, or has another sign or factor"
    return None


def _one_for_another(test):
    for (name, array), (other, second) in itertools.permutations(test.factors, 2):
        if test.close(test.found * second, test.expected * array) and test.found.any():
            return f"the right one times {name} over {other}: {name} where {other} is expected"
    return None


def _a_term_turned(test):
    """found = a - t where expected = a + t, so that their average is a"""
    average = (test.found + test.expected) / 2.0
    for count in (1, 2):
        for chosen in itertools.combinations(test.factors, count):
            product = np.broadcast_to(math.prod(array for _, array in chosen), test.found.shape)
            if average.any() and np.abs(average - product).max() <= test.limit * test.scale:
                names = " times ".join(name for name, _ in chosen)
                return f"{names} is one of its terms, and the other has the opposite sign: plus and minus exchanged?"
    return None


def _wrong_where(test):
    """Wrong exactly at the entries that a mask, a label or a border names"""
    wrong = np.abs(test.difference) > test.limit * test.scale
    if not wrong.any() or not (~wrong & (np.abs(test.expected) > test.limit * test.scale)).any():
        return None  # where 0 is right, as at padding, nothing is learnt from it
    for text, entries in _regions(test):
        entries = np.broadcast_to(entries, wrong.shape)
        zeros = (test.expected == 0.0) & (test.found == 0.0)  # right, whatever the mistake is
        if not (wrong & ~entries).any() and not (entries & ~wrong & ~zeros).any() and not entries.all():
            return f"wrong only {text}"
    return None


def _regions(test):
    shape = test.found.shape
    for name, array in test.named.items():
        if array.dtype.kind == "b":
            for aligned, note in alignments(array, shape):
                yield f"where {name}{note} is False", ~aligned
                yield f"where {name}{note} is True", aligned
        elif array.dtype.kind in "iu" and array.size:
            if array.ndim == len(shape) - 1 and array.shape == shape[:-1]:
                yield f"at the entries that {name} gives", array[..., None] == np.arange(shape[-1])
            if len(shape) > 1 and array.min() >= 0 and array.max() < shape[0]:
                times = np.bincount(array.ravel(), minlength=shape[0])
                rows = (-1, *([1] * (len(shape) - 1)))
                text = f"in the rows that occur more than once in {name}: are the terms of a repeated index added up?"
                yield text, (times > 1).reshape(rows)
                yield f"in the rows that occur in {name}", (times > 0).reshape(rows)
                yield f"in the rows that do not occur in {name}", (times == 0).reshape(rows)
    for axis, n in enumerate(shape):
        if n > 2:
            index = np.arange(n).reshape([-1 if i == axis else 1 for i in range(len(shape))])
            for value, what in ((0, "first"), (n - 1, "last")):
                yield f"at the {what} index of axis {axis}: a border", index == value
            yield f"at the first and last index of axis {axis}: a border", (index == 0) | (index == n - 1)


def _along(test):
    """Off by a multiple of an input for each row: a term with a sum over that row"""
    arrays = [("", np.ones((1,) * test.found.ndim)), *test.factors]
    for axis in reversed(range(test.found.ndim)):
        if test.found.shape[axis] < FEWEST:
            continue
        for name, array in arrays:
            for centred in (False, True) if name else (False,):
                wide = np.broadcast_to(array, test.found.shape)
                if centred:
                    wide = wide - wide.mean(axis=axis, keepdims=True)
                if name and np.ptp(wide, axis=axis).max() <= 1e-12 * np.abs(wide).max():
                    continue
                squares = (wide * wide).sum(axis=axis, keepdims=True)
                share = (test.difference * wide).sum(axis=axis, keepdims=True) / np.where(squares, squares, 1.0)
                if share.any() and np.abs(test.difference - share * wide).max() <= test.limit * test.scale:
                    if not name:
                        what, term = "a constant", "a term that is the same along it, such as a sum or an average,"
                    else:
                        what = f"a multiple of {name}{' minus its average' if centred else ''}"
                        term = "the term with it, which may hold a sum or an average over that axis,"
                    return f"off by {what} along axis {axis}: {term} is missing, or has another sign or factor"
    return None
