"""On which of its inputs does each result of a function depend, and how?

    degrees(call, {"dy": dy, "cache": cache})      -> {"dy": [1.0, 1.0], "cache.rstd": [1.0, 0.0], ...}

call(*values) -> tuple of results. We call it again with one array doubled, and with the entries of one array scaled at
random. A result that grows by 2^k is homogeneous of degree k; 0 means that it does not depend on the array, None that
it depends on it in another way. A student's degrees beside the reference's say which input is missing, or used twice.
"""

import itertools

import numpy as np

from ..sandbox.host import Stopped, StudentError
from .comparison import Different, leaves
from .layouts import mapped

MOST_ARRAYS, MOST_PARTS = 12, 4
SAME = 1e-9  # relative; a few roundings
DEGREES = (-2.0, -1.0, -0.5, 0.5, 1.0, 2.0, 3.0)


def degrees(call, given):
    """given: {name: argument}, the arguments in order; arrays in caches and tuples count one by one

    Equal arrays (a cache may hold the same one under two names) are changed together, under the first name.
    """
    names = {}
    for key, value in given.items():
        for name, leaf in leaves(key, value):
            if _counts(leaf):
                names.setdefault(_content(leaf), name)
    rng, first, found = np.random.default_rng(0), call(*given.values()), {}
    for content, name in list(names.items())[:MOST_ARRAYS]:
        factors = rng.uniform(0.5, 1.5, content[0])
        doubled = call(*_changed(given, content, lambda array: ~array if array.dtype == bool else 2.0 * array))
        scaled = call(*_changed(given, content, lambda array, f=factors: array ^ (f < 1.0) if array.dtype == bool
                                else array * f))  # fmt: skip
        found[name] = [_degree(*three) for three in zip(first, doubled, scaled, strict=True)]
    return found


class Dependence:
    """What a diagnosis may ask about a student's function; it is called again for each question.

    call(*values) -> the student's results; given: {name: argument}; right: the reference's degrees; results: names
    """

    def __init__(self, call, given, right, results, upstream=None):
        self.call, self.given, self.right = call, given, right
        self.results, self.upstream = results, upstream

    def __call__(self, name):
        """What a result depends on and should not, or the reverse, in words; None if nothing"""
        try:
            found = degrees(self.call, self.given)
        except (Different, StudentError, Stopped):
            return None
        return in_words(found, self.right, self._index(name), self.upstream)

    def what_if(self, name, expected, limit):
        """Which change of an input makes the result right, in words; None if none of those that we try does"""
        named = self._arrays("f")

        def is_right(*changes):
            return self._is_right(name, expected, limit, changes)

        for content, path in named:
            if is_right((content, lambda array: -array)):
                return f"it is right if {path} is negated: does a term with it have the opposite sign?"
            if content[0] == () and 0.0 < _array_of(content) < 1.0 and is_right((content, lambda array: 1.0 - array)):
                return f"it is right if {path} is replaced by 1 - {path}: one for the other?"
            for change, text in rearranged(_array_of(content), expected.shape):
                if is_right((content, change)):
                    return f"it is right if {text.format(path)}"
        for (one, path), (other, second) in itertools.combinations(named, 2):
            if one[0] == other[0]:
                array, instead = _array_of(one), _array_of(other)
                if is_right((one, lambda _, a=instead: a), (other, lambda _, a=array: a)):
                    return f"it is right if {path} and {second} are exchanged: one for the other?"
        return None

    def inverted(self, name, expected, limit):
        """Which mask makes the result right if it is inverted, in words; None if none does"""
        for content, path in self._arrays("b"):
            if self._is_right(name, expected, limit, [(content, lambda array: ~array)]):
                return f"it is right if {path} is inverted: True and False are exchanged"
        return None

    def _arrays(self, kind):
        """[(content, path)] of the first different arrays and numbers of a kind of dtype that are not all 0"""
        named = {}
        for key, value in self.given.items():
            for path, leaf in leaves(key, value):
                if _counts(leaf) and np.asarray(leaf).dtype.kind == kind and np.any(leaf):
                    named.setdefault(_content(leaf), path)
        return list(named.items())[:MOST_ARRAYS]

    def _is_right(self, name, expected, limit, changes):
        """True if the student's result is `expected` after [(content, function of the array)]"""
        try:
            found = np.asarray(self.call(*_changed_all(self.given, dict(changes)))[self._index(name)])
        except (Different, StudentError, Stopped, LookupError):
            return False
        scale = limit * np.abs(expected).max(initial=0.0)
        return found.shape == expected.shape and bool(np.abs(found - expected).max(initial=0.0) <= scale)

    def _index(self, name):
        return self.results.index(name) if name in self.results else 0


def rearranged(array, shape):
    """[(function of the array, the change in words)] of the same numbers elsewhere; shape: of the result"""
    found, n = [], array.shape[-1] if array.ndim else 0
    if array.ndim > 1 and array.shape[-2] == n:
        text = "{} is transposed: is a transpose missing, or one too many?"
        found.append((lambda array: array.swapaxes(-1, -2), text))
    elif array.ndim == 2:
        text = "{} is transposed by a reshape: is a reshape meant as a transpose?"
        found.append((lambda array: array.T.reshape(array.shape), text))
        found.append((lambda array: array.reshape(array.shape[::-1]).T, text))
    parts = n // shape[-1] if shape and shape[-1] and n % shape[-1] == 0 else 1
    for i, j in itertools.combinations(range(parts), 2) if parts <= MOST_PARTS else ():
        order = [*range(parts)]
        order[i], order[j] = j, i
        text = f"parts {i + 1} and {j + 1} of {{}} along its last axis are exchanged: one for the other, or both moved"
        text += " in the wrong direction?"
        found.append((lambda array, order=order: _parts_in(array, order), text))
    return found


def _parts_in(array, order):
    parts = np.split(array, len(order), axis=-1)
    return np.concatenate([parts[i] for i in order], axis=-1)


def _counts(leaf):
    return isinstance(leaf, (np.ndarray, float)) and np.asarray(leaf).dtype.kind in "fb" and np.size(leaf) > 0


def _content(leaf):
    return np.shape(leaf), np.asarray(leaf).tobytes()


def _array_of(content):
    return np.frombuffer(content[1]).reshape(content[0])


def _changed(given, content, change):
    """The arguments with the arrays of this content changed"""
    return _changed_all(given, {content: change})


def _changed_all(given, changes):
    """The arguments with the arrays of each content changed: {content: function of the array}"""

    def at(leaf):
        change = changes.get(_content(leaf)) if _counts(leaf) else None
        if change is None:
            return leaf
        changed = change(np.asarray(leaf))
        return float(changed) if isinstance(leaf, float) else changed.copy()

    return [mapped(value, at) for value in given.values()]


def _degree(first, doubled, scaled):
    if first is None or not np.size(first):
        return None
    first, doubled, scaled = (np.asarray(each, np.float64) for each in (first, doubled, scaled))
    if not np.isfinite(first).all() or first.shape != doubled.shape or not first.any():
        return None
    if _same(doubled, first) and _same(scaled, first):
        return 0.0
    return next((degree for degree in DEGREES if _same(doubled, 2.0**degree * first)), None)


def _same(a, b):
    return a.shape == b.shape and bool(np.abs(a - b).max(initial=0.0) <= SAME * np.abs(b).max(initial=0.0))


def in_words(found, right, index, upstream):
    """The first difference of the two that matters for result `index`, or None"""

    def shown(name):
        return f"the upstream gradient {name}" if name == upstream else name

    both, missing, extra = {name: (found[name][index], right[name][index]) for name in right if name in found}, [], []
    for name, (degree, expected) in both.items():
        missing += [name] if degree == 0.0 != expected else []
        extra += [name] if expected == 0.0 != degree else []
    if missing and extra:
        names = ", ".join(map(shown, extra)), ", ".join(map(shown, missing))
        return f"it depends on {names[0]}, and does not depend on {names[1]}, as the right one does: one for the other?"
    if missing:
        what = "a factor or a term with it is missing"
        return f"it does not depend on {', '.join(map(shown, missing))}, and the right one does: {what}"
    if extra:
        return f"it depends on {', '.join(map(shown, extra))}, and the right one does not"
    for name, (degree, expected) in both.items():
        if degree is not None and expected is not None and degree != expected:
            if (degree, expected) == (2.0, 1.0):
                return f"it grows with the square of {shown(name)}, and the right one with {shown(name)}: used twice?"
            return f"it grows as {name}^{degree:g}, and the right one as {name}^{expected:g}"
        if degree is None and expected == 1.0:
            what = "one term is without it, or has it twice"
            return f"it does not double when {shown(name)} doubles, as the right one does: {what}"
    return None
