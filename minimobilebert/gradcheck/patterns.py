"""What does a wrong array look like beside the right one? Tests in the order of how sure they are.

    pattern_of_values("x", found, expected, known, {"x": slopes}, 1e-6)    -> kind, text

Certain causes come first (a sign, a factor, a transpose, an input that explains the difference), then facts about the
difference, such as "off by a constant along axis 2"; `certainty` says which. The tests compare all numbers, to the
digits of the check, so that one fits by chance only where arrays are tiny.
"""

import dataclasses
import itertools

import numpy as np

from . import arithmetic
from .factors import CLOSE, cause_of_factor, close_to

FACTS = {"some entries", "no zero sum", "shape", "a factor", "part", "zeros", "not finite"}
NOTHING = {"other", "nearly right"}
MOVED = "the right numbers in the wrong places"
OF_SHAPES = "a gradient has the shape of its array"


def certainty(kind):
    """How much a diagnosis of this kind says: 2 for a cause, 1 for a fact about the difference, 0 for nothing"""
    return 0 if kind in NOTHING else 1 if kind in FACTS else 2


# --- arrays of another shape


def pattern_of_shape(found, expected, rule=OF_SHAPES):
    """-> kind, text. rule: what the text says where nothing fits"""
    if text := _kept_axes(found, expected):
        return "keepdims", text
    if found.shape == expected.shape[::-1] and close_to(found.T, expected):
        return "transposed", "the transpose of the right gradient"
    for axes in _some_axes(found.ndim):
        if close_to(found.sum(axis=axes), expected):
            return "not summed", (
                f"the terms are there but not summed over axis {', '.join(map(str, axes))}: what the forward"
                " broadcasts, the backward sums"
            )
    if text := _only_the_first(found, expected):
        return "cut off", text
    for axes in _some_axes(expected.ndim) if expected.size > 1 else ():
        for what, less in (("summed", expected.sum(axis=axes)), ("averaged", expected.mean(axis=axes))):
            if less.size == found.size and close_to(found.reshape(less.shape), less):
                return "summed", f"the right numbers, {what} over axis {', '.join(map(str, axes))}, which has to stay"
    if found.size == expected.size and close_to(found.reshape(expected.shape), expected):
        return "shape", f"the right numbers in another shape: {rule}"
    if found.ndim == expected.ndim and sorted(found.shape) == sorted(expected.shape):
        return "shape", "its axes are in another order: a transpose is missing, or one too many"
    if found.ndim != expected.ndim:
        question = "is one axis summed that has to stay?" if found.ndim < expected.ndim else "is one axis not summed?"
        return "shape", f"{rule}: {question}"
    wrong = next(axis for axis in range(expected.ndim) if found.shape[axis] != expected.shape[axis])
    return "shape", f"{rule}: is a sum or a product over another axis than {wrong}?"


def _kept_axes(found, expected):
    """Shapes that differ by axes of length 1 only, in words; None for others, or for other numbers"""
    longer, shorter = (found, expected) if found.ndim > expected.ndim else (expected, found)
    if longer.ndim == shorter.ndim or [n for n in longer.shape if n > 1] != [n for n in shorter.shape if n > 1]:
        return None
    if longer.size != shorter.size or not expected.any() or not close_to(found.reshape(expected.shape), expected):
        return None
    cause = "too many; keepdims, or an index with None?" if longer is found else "is missing; keepdims=True?"
    return f"the right numbers in shape {found.shape}: an axis of length 1 {cause}"


def _only_the_first(found, expected):
    """The right numbers up to an index of one axis, in words; or with more after the last, None for others"""
    if found.ndim != expected.ndim:
        return None
    wrong = [axis for axis in range(found.ndim) if found.shape[axis] != expected.shape[axis]]
    if len(wrong) != 1:
        return None
    axis, count = wrong[0], min(found.shape[wrong[0]], expected.shape[wrong[0]])
    both = [np.take(array, range(count), axis) for array in (found, expected)]
    if not both[1].any() or not close_to(*both):
        return None
    n, m = found.shape[axis], expected.shape[axis]
    return f"the right numbers along axis {axis}, but {n} of them and not {m}: is the length taken from what was given?"


def _some_axes(ndim):
    return [axes for count in range(1, ndim + 1) for axes in itertools.combinations(range(ndim), count)]


def an_input(array, known):
    """Which input, or sum or average of one, an array of another shape than expected is, in words; None if none"""
    for name, value in known.labelled().items():
        if isinstance(value, np.ndarray) and value.dtype.kind == "f" and array.size and array.any():
            if value.size > 1 and close_to(array, value):
                return f"it is {name}, and nothing else"
            for axis in range(value.ndim) if value.size else ():
                for what, less in (("average", value.mean(axis=axis)), ("sum", value.sum(axis=axis))):
                    if less.size == array.size and close_to(array.reshape(less.shape), less):
                        return f"it is the {what} of {name} over its axis {axis}, and nothing else"
    return None


def another_one(key, found, known, slopes):
    """A gradient of another shape may be another result, or one of the inputs -> kind, text, or None"""
    for other, right in slopes.items():
        if other != key and close_to(found, right.expected):
            return "swapped", f"the gradient of {other}: two results in the wrong order?"
    depends = known.depends(key) if known.depends is not None else None
    if text := an_input(found, known):
        return "named", text + (f"; {depends}" if depends else "")
    return ("depends", f"{OF_SHAPES}; {depends}") if depends else None


# --- arrays of the same shape


@dataclasses.dataclass(frozen=True)
class Pair:
    """A found and an expected array of the same shape, and what is known about them."""

    key: str
    found: np.ndarray
    expected: np.ndarray
    known: object  # diagnosis.Known, or Passes
    slopes: dict
    tolerance: float

    @property
    def limit(self):
        """Relative; as exact as the check, because a cause has to fit to all digits"""
        return min(CLOSE, max(1e-8, 10.0 * self.tolerance))

    @property
    def is_whole(self):
        """False for random directions of a large array"""
        return self.found.shape == self.known.inputs[self.key].shape

    def depends(self):
        return self.known.depends(self.key) if self.known.depends is not None else None


def pattern_of_values(key, found, expected, known, slopes, tolerance):
    """-> kind, text: the first pattern that fits"""
    if not np.isfinite(found).all():
        return "not finite", "NaN or infinity: 0/0, or an overflow before a division?"
    if not found.any():
        return "zeros", "zeros: is the result written, and returned?"
    if not expected.any():
        return "other", "the output does not depend on this input at all"
    if key in known.ignores_dy:
        return "no upstream gradient", (
            "it is the same for every dy: the local derivative alone, not multiplied by the upstream gradient"
        )
    pair = Pair(key, found, expected, known, slopes, tolerance)
    for pattern in (
        _nearly,
        _factor,
        _swapped,
        _moved,
        _one_input,
        _inverted,
        _depending,
        _what_if,
        _parts,
        _of_sums,
        _some_entries,
    ):
        if result := pattern(pair):
            return result
    return "other", "no common mistake: check the formula, one factor at a time"


def _nearly(pair):
    if close_to(pair.found, pair.expected):
        return "nearly right", "nearly right: a constant with few digits, a forgotten epsilon, a float32 step, a kink?"
    return None


def _factor(pair):
    factor = float((pair.found * pair.expected).sum() / (pair.expected * pair.expected).sum())
    if not close_to(pair.found, factor * pair.expected):
        return None
    if close_to(pair.found, -pair.expected):
        return "sign", f"the right {'gradient' if pair.known.dy else 'one'} with the opposite sign"
    # For a single number there is always such a factor.
    cause = cause_of_factor(factor, pair.known, CLOSE if pair.expected.size > 1 else pair.limit)
    if cause:
        return "constant factor", f"a constant factor {factor:.4g}{cause}"
    return ("a factor", f"a constant factor {factor:.4g}: a number is left out, or applied twice?") if (
        pair.expected.size > 1) else None  # fmt: skip


def _swapped(pair):
    for other, slopes in pair.slopes.items():
        if other != pair.key and close_to(pair.found, slopes.expected):
            if not close_to(pair.known.gradients.get(other, np.zeros(0)), slopes.expected):
                return "swapped", f"the gradient of {other}: two results in the wrong order?"
            depends = pair.depends()
            return "swapped", f"the same as the gradient of {other}" + (f"; {depends}" if depends else "")
    return None


def _moved(pair):
    """The right numbers, elsewhere"""
    found, expected = pair.found, pair.expected
    if not pair.is_whole:
        return None
    for axes in itertools.permutations(range(found.ndim)):
        if axes != tuple(range(found.ndim)) and close_to(expected.transpose(axes), found):
            return "transposed", f"the right gradient with its axes in the order {axes}: a transpose"
    for dy in pair.known.dy:
        for axes in itertools.permutations(range(dy.ndim)) if dy.size == found.size else ():
            if close_to(found.reshape(dy.shape).transpose(axes).reshape(found.shape), expected):
                return "permuted", f"transpose{axes} is missing before the reshape, which moves no numbers itself"
    for axis in range(found.ndim):
        if found.shape[axis] > 1 and close_to(np.flip(found, axis), expected):
            return "permuted", f"the right numbers in reverse order along axis {axis}"
        for steps in (1, -1):
            if found.shape[axis] > 2 and close_to(np.roll(found, steps, axis), expected):
                return "permuted", f"the right numbers, moved by one along axis {axis}: a wrong index?"
    if close_to(np.sort(found, axis=None), np.sort(expected, axis=None)):
        return "permuted", f"{MOVED}: a wrong index, an order not undone, or a reshape for a transpose"
    for name, bias in arithmetic.terms(found, expected, pair.known.labelled(), pair.limit):
        before = [array - bias for array in (found, expected)]
        scale = pair.limit * np.abs(before[1]).max()
        moved = np.abs(np.subtract(*before)).max() > 1e-2 * np.abs(before[1]).max()
        if moved and np.abs(np.subtract(*(np.sort(array, axis=None) for array in before))).max() <= scale:
            text = f"{MOVED} before {name} is added: a wrong index, or a reshape for a transpose"
            return "permuted", text
    return None


def _one_input(pair):
    text = arithmetic.explain(pair.found, pair.expected, pair.known.labelled(), pair.limit)
    if text and text.endswith("nothing else") and (depends := pair.depends()):
        text = f"{text}; {depends}"
    return _of_kind(text)


def _depending(pair):
    text = pair.depends()
    return ("depends", text) if text else None


def _inverted(pair):
    ask = getattr(pair.known.depends, "inverted", None)
    text = ask(pair.key, pair.expected, pair.limit) if ask is not None and pair.is_whole else None
    return ("what if", text) if text else None


def _what_if(pair):
    ask = getattr(pair.known.depends, "what_if", None)
    text = ask(pair.key, pair.expected, pair.limit) if ask is not None and pair.is_whole else None
    return ("what if", text) if text else None


def _parts(pair):
    text = arithmetic.explain_parts(pair.found, pair.expected, pair.known.labelled(), pair.limit)
    return _of_kind(text)


def _of_kind(text):
    """-> kind, text: a cause, or only a fact about the difference"""
    return (("part" if text.startswith(("off by", "wrong only")) else "named"), text) if text else None


def _of_sums(pair):
    """Softmax adds up to 1, and what passes a mean or softmax backwards to 0"""
    axes = range(pair.found.ndim) if pair.is_whole else ()
    for number, axis in itertools.product((0, 1), axes):
        if _adds_up_to(number, pair.expected, axis) and not _adds_up_to(number, pair.found, axis):
            for other in axes:
                if other != axis and _adds_up_to(number, pair.found, other):
                    text = f"it adds up to {number} along axis {other}, and the right one along axis {axis}"
                    return "another axis", f"{text}: a sum over another axis?"
            for several in _some_axes(pair.found.ndim) if number else ():
                sums = pair.found.sum(axis=several)
                if len(several) > 1 and axis in several and np.abs(sums - 1.0).max() <= CLOSE:
                    text = f"it adds up to 1 over the axes {', '.join(map(str, several))}, and the right one along"
                    return "another axis", f"{text} axis {axis} alone: a sum over too many axes?"
            return "no zero sum", (
                f"the right numbers add up to {number} along axis {axis} and these do not: look at the sums over that"
                " axis, and at what they multiply"
            )
    return None


def _adds_up_to(number, array, axis):
    sums = array.sum(axis=axis)
    return array.shape[axis] > 1 and bool(np.abs(sums - number).max() <= CLOSE * np.abs(array).max())


def _some_entries(pair):
    if not pair.is_whole:
        return None
    errors = pair.slopes[pair.key].relative_errors(pair.tolerance)
    good = errors <= pair.tolerance
    if good.any() and not good[pair.expected != 0.0].any():  # zeros, at padding for example, do not test the formula
        return "other", "only zeros are right: check the formula, one factor at a time"
    if (right := int(good.sum())) > 0 and right >= errors.size // 4:
        text = "what do they have in common (a border, a repeated index, a branch)?"
        return "some entries", f"{right} of {errors.size} entries are right: {text}"
    return None
