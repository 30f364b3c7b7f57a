"""The forward and backward passes of a gradient check. They detect passes that modify inputs, dy or the cache."""

import dataclasses

import numpy as np

from .diagnosis import Failure, labelled


class Passes:
    """The passes of one check.

    inputs      {name: float64 array}; the passes get copies
    dy          list of random upstream gradients, one per output
    gradients   {input name: the gradient that backward(dy) returned}
    ignores_dy  names of the inputs with equal gradients for two different dy
    named       {name: array} of what the backward was given, for the diagnosis
    failures    list of Failure
    """

    depends = None  # see diagnosis.Known

    def __init__(self, forward, backward, inputs, rng):
        self.forward, self.backward, self.inputs, self.failures = forward, backward, inputs, []
        outputs = self.evaluate(inputs)
        again = zip(outputs, self.evaluate(inputs), strict=True)
        if not all(np.allclose(a, b, rtol=1e-9, equal_nan=True) for a, b in again):
            self._fail("y", "not repeatable", "forward returns another result when it is called again with the same"
                       " inputs: make a new random generator in each call")  # fmt: skip
        self.named = {}
        self.dy, other = ([rng.standard_normal(part.shape) for part in outputs] for _ in range(2))
        mixed = [2.0 * a - 3.0 * b for a, b in zip(self.dy, other, strict=True)]
        self.gradients, second, both = (self._pass(dy) for dy in (self.dy, other, mixed))
        self.ignores_dy = set()
        for key, first in self.gradients.items():
            three = (first, second[key], both[key])
            if not all(isinstance(g, np.ndarray) and g.dtype == np.float64 and g.shape == first.shape for g in three):
                continue  # check.py reports it
            if first.size and first.any() and np.array_equal(first, second[key]):
                self.ignores_dy.add(key)
                continue
            expected = 2.0 * first - 3.0 * second[key]
            scale = max(np.abs(first).max(initial=0.0), np.abs(second[key]).max(initial=0.0))
            # The limit allows for the rounding of three such numbers and of sums inside the backward.
            if np.isfinite(scale) and not np.abs(both[key] - expected).max(initial=0.0) <= 1e-9 * scale:
                self._fail(f"d{key}", "not linear",
                           f"backward(2 a - 3 b) is not 2 backward(a) - 3 backward(b) for d{key}")  # fmt: skip

    def labelled(self):
        """`named` with the upstream gradient called so"""
        return labelled(self.named, "dy")

    def evaluate(self, inputs):
        """The outputs at `inputs`, as a list of float64 arrays."""
        return [np.array(part, dtype=np.float64) for part in _as_tuple(self.forward(*_copies(inputs).values())[0])]

    def _pass(self, dy):
        given = _copies(self.inputs)
        y, cache = self.forward(*given.values())
        self._compare(given, self.inputs, "forward", "mutated input")
        for part in _as_tuple(y):
            if np.asarray(part).dtype != np.float64:
                self._fail("y", "dtype", f"forward made {np.asarray(part).dtype} out of float64")
        handed = [float(part) if part.ndim == 0 else part.copy() for part in dy]
        cached = arrays_in(cache, "cache")
        before = _copies(cached)
        if not self.named:
            upstream = {f"dy[{i}]" if len(dy) > 1 else "dy": part for i, part in enumerate(dy)}
            self.named = {**self.inputs, **upstream, **before}
        gradients = _as_tuple(self.backward(tuple(handed) if isinstance(y, (tuple, list)) else handed[0], cache))
        # Copy the gradients first, because a backward may return a view of the cache.
        gradients = [g.copy() if isinstance(g, np.ndarray) else g for g in gradients]
        self._compare(given, self.inputs, "backward", "mutated input")
        self._compare(cached, before, "backward", "mutated cache")
        names = ["dy"] if len(dy) == 1 else [f"dy[{i}]" for i in range(len(dy))]
        self._compare(dict(zip(names, map(np.asarray, handed), strict=True)), dict(zip(names, dy, strict=True)),
                      "backward", "mutated input")  # fmt: skip
        wanted = len(self.inputs)
        if len(gradients) < wanted or any(g is not None for g in gradients[wanted:]):
            names = ", ".join(f"d{key}" for key in self.inputs)
            self._fail("dy", "count", f"backward returned {len(gradients)} gradients, expected {wanted}: {names}")
            gradients = (gradients + [None] * wanted)[:wanted]
        return dict(zip(self.inputs, gradients, strict=False))

    def _compare(self, arrays, before, phase, kind):
        for key, array in arrays.items():
            if array.tobytes() != before[key].tobytes():
                self._fail(key, kind, f"{phase} changed {key} in place: write to a new array, or to a copy")

    def _fail(self, tensor, kind, text):
        failure = Failure(tensor, kind, text)
        if failure not in self.failures:
            self.failures.append(failure)


def arrays_in(value, name):
    """All arrays in nested tuples, lists, dicts and dataclasses -> {path such as "cache.x": array}"""
    if isinstance(value, np.ndarray):
        return {name: value}
    if dataclasses.is_dataclass(value):
        parts = [(f"{name}.{f.name}", getattr(value, f.name)) for f in dataclasses.fields(value)]
    elif hasattr(value, "_fields"):
        parts = [(f"{name}.{field}", part) for field, part in zip(value._fields, value, strict=True)]
    elif isinstance(value, dict):
        parts = [(f"{name}[{key!r}]", part) for key, part in value.items()]
    elif isinstance(value, (tuple, list)):
        parts = [(f"{name}[{i}]", part) for i, part in enumerate(value)]
    else:
        return {}
    return {key: array for path, part in parts for key, array in arrays_in(part, path).items()}


def _as_tuple(value):
    return tuple(value) if isinstance(value, (tuple, list)) else (value,)


def _copies(arrays):
    return {key: array.copy() for key, array in arrays.items()}
