"""Comparing what a student's function returned with what is right, and saying what the difference looks like."""

import numpy as np

from ...gradcheck import diagnosis
from ..sandbox.wire import fields_of, kind_of


class Different(AssertionError):
    """Something is not as it should be: with which tensor, where, and what it looks like."""

    def __init__(self, tensor, lines, looks_like, passes=()):
        super().__init__(f"{tensor}: {looks_like}")
        self.tensor, self.lines, self.looks_like, self.passes = tensor, tuple(lines), looks_like, tuple(passes)


def describe(value):
    """A short name for what was found."""
    if isinstance(value, np.ndarray):
        return f"an array {value.dtype}{list(value.shape)}"
    if (fields := fields_of(value)) is not None:
        return f"{kind_of(value).rpartition(':')[2]}({', '.join(fields)})"
    if isinstance(value, (list, tuple, dict, set)):
        return f"a {type(value).__name__} of {len(value)}"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def equal(name, yours, expected, tolerance, dtype=None):
    """See Trial.equal."""
    expected = np.asarray(expected)
    if not isinstance(yours, (np.ndarray, np.generic, float, int)) or isinstance(yours, bool):
        raise Different(name, (), f"{name} is {describe(yours)}, expected {describe(expected)}")
    yours = np.asarray(yours)
    if yours.dtype.kind not in "biuf" and yours.dtype.kind != expected.dtype.kind:
        raise Different(name, (), f"{name} is {describe(yours)}, expected {describe(expected)}")
    if yours.shape != expected.shape:
        kind, text = diagnosis.pattern_of_shape(yours, expected)
        text = "another shape than documented" if kind == "shape" else text
        lines = [("shapes", f"{name} {yours.shape}, expected {expected.shape}")]
        raise Different(name, lines, text)
    if dtype is not None and yours.dtype != dtype:
        lines = [("shapes", f"{name} {yours.shape} ok      dtype {yours.dtype}, expected {np.dtype(dtype)}")]
        text = f"{yours.dtype} out of {np.dtype(dtype)}: a NumPy number such as np.sqrt(2.0), or a new array?"
        raise Different(name, lines, text)
    if expected.dtype.kind not in "fc":
        wrong = yours != expected
        if np.any(wrong):
            _raise_exact(name, yours, expected, wrong)
        return
    yours, expected = yours.astype(np.float64), expected.astype(np.float64)
    errors = relative_errors(yours, expected)
    if not np.all(errors <= tolerance):
        lines = _where(name, yours, expected, errors, tolerance)
        raise Different(name, lines, looks_like(yours, expected, errors, tolerance))


def relative_errors(yours, expected):
    """|yours - expected| over the largest finite expected number; infinite where NaN or infinity do not agree"""
    with np.errstate(all="ignore"):
        finite = np.abs(expected[np.isfinite(expected)])
        scale = finite.max(initial=0.0)
        agree = (yours == expected) | (np.isnan(yours) & np.isnan(expected))
        gap = np.abs(yours - expected) / (scale if scale > 0.0 else 1.0)
        return np.where(agree, 0.0, np.where(np.isfinite(gap), gap, np.inf))


def _raise_exact(name, yours, expected, wrong):
    index = np.unravel_index(int(np.argmax(wrong)), wrong.shape)
    place = f"{name}[{', '.join(map(str, index))}]" if wrong.ndim else name
    lines = [("where", f"{place}, the first of {wrong.size}; {int(wrong.sum())} of them wrong"),
             ("yours", f"{yours[index]}      expected {expected[index]}")]  # fmt: skip
    raise Different(name, lines, "other values than expected")


def _where(name, yours, expected, errors, tolerance):
    index = np.unravel_index(int(np.argmax(errors)), errors.shape)
    place = f"{name}[{', '.join(map(str, index))}]"
    mine, right = float(yours[index]), float(expected[index])
    with np.errstate(all="ignore"):
        ratio = f"      ratio {mine / right:.4g}" if right and np.isfinite(mine) and np.isfinite(right) else ""
        finite = np.isfinite(expected)
        large = finite & (np.abs(expected) > 1e-3 * np.abs(expected[finite]).max(initial=0.0))
        ratios = yours[large] / expected[large]
    if ratio and ratios.size > 1 and np.ptp(ratios) <= diagnosis.CLOSE * np.abs(ratios).max():
        ratio += f" on every entry (spread {np.ptp(ratios):.0e})"
    digits = 6 if abs(mine - right) > 1e-3 * abs(right) else 12
    if not errors.ndim:
        return [("yours", f"{mine:.{digits}g}      expected {right:.{digits}g}{ratio}")]
    return [
        ("where", f"{place}, the worst of {errors.size} entries; {int((~(errors <= tolerance)).sum())} of them wrong"),
        ("yours", f"{mine:.{digits}g}      expected {right:.{digits}g}{ratio}"),
        ("shapes", f"{name} {yours.shape} ok"),
    ]


class _Nothing:
    """What the gradient checker's diagnosis asks of a run, where there is no run."""

    ignores_dy, inputs, dy = frozenset(), {}, ()


def looks_like(yours, expected, errors, tolerance, sizes=()):
    """A likely cause, in words, of two arrays of the same shape being different."""

    class Errors:
        def relative_errors(self, _):
            return errors

    index = np.unravel_index(int(np.argmax(errors)), errors.shape)  # the entry that the message shows
    if not np.isfinite(expected[index]):
        return f"{'a number' if np.isfinite(yours[index]) else yours[index]} where {expected[index]} is expected"
    if np.isinf(yours[index]) and np.any(expected == yours[index]):
        return f"{yours[index]} where a number is expected"
    if not expected.ndim and yours == 0.0:
        return "0 where another number is expected"
    agree = ~np.isfinite(expected) & (errors == 0.0)  # infinity where infinity is right is no overflow
    yours, expected = np.where(agree, 0.0, yours), np.where(agree, 0.0, expected)
    run = _Nothing()
    run.inputs = {"y": expected, **{str(i): array for i, array in enumerate(sizes)}}
    return diagnosis.pattern_of_values("y", yours, expected, run, {"y": Errors()}, tolerance)[1]


def same(name, yours, expected, tolerance):
    """See Trial.same."""
    if isinstance(expected, (np.ndarray, np.generic)) or (isinstance(expected, float) and not isinstance(yours, bool)):
        dtype = expected.dtype if isinstance(expected, np.ndarray) else None
        return equal(name, yours, expected, tolerance, dtype)
    fields, mine = fields_of(expected), fields_of(yours)
    if fields is not None:
        if mine is None or list(mine) != list(fields):
            raise Different(name, (), f"{name} is {describe(yours)}, expected {describe(expected)}")
        for key in fields:
            same(f"{name}.{key}", mine[key], fields[key], tolerance)
    elif isinstance(expected, dict):
        if not isinstance(yours, dict) or set(yours) != set(expected):
            raise Different(name, (), _keys(name, yours, expected))
        for key in expected:
            same(f"{name}[{key!r}]", yours[key], expected[key], tolerance)
    elif isinstance(expected, (list, tuple)):
        if not isinstance(yours, (list, tuple)) or fields_of(yours) is not None or len(yours) != len(expected):
            text = f"{name} is {describe(yours)}, expected {describe(expected)}"
            if isinstance(yours, (list, tuple)) and len(expected) <= 12:
                text += f": {_short(yours)} instead of {_short(expected)}"
            raise Different(name, (), text)
        for i, (a, b) in enumerate(zip(yours, expected, strict=True)):
            same(f"{name}[{i}]", a, b, tolerance)
    elif type(yours) is not type(expected) or yours != expected:
        is_number = isinstance(yours, np.generic) and yours == expected
        if not is_number:
            raise Different(name, [("yours", f"{describe(yours)}      expected {describe(expected)}")],
                            "another value than expected")  # fmt: skip


def _short(values):
    text = repr(list(values))
    return text if len(text) <= 160 else text[:157] + "..."


def _keys(name, yours, expected):
    if not isinstance(yours, dict):
        return f"{name} is {describe(yours)}, expected {describe(expected)}"
    missing, extra = set(expected) - set(yours), set(yours) - set(expected)
    parts = [f"{what} {', '.join(sorted(map(repr, keys))[:6])}" for what, keys in
             (("no", missing), ("unexpected", extra)) if keys]  # fmt: skip
    return f"keys of {name}: {'; '.join(parts)}"


def unchanged(name, before, after):
    """Different if an argument is not bit for bit what it was."""
    for (path, was), (_, now) in zip(_leaves(name, before), _leaves(name, after), strict=True):
        if isinstance(was, np.ndarray):
            alike = isinstance(now, np.ndarray) and was.shape == now.shape and was.tobytes() == now.tobytes()
        else:
            alike = repr(was) == repr(now)
        if not alike:
            raise Different(path, (), f"{path} was changed in place: write to a new array, or to a copy")


def _leaves(name, value):
    fields = fields_of(value)
    if fields is not None:
        parts = [(f"{name}.{key}", part) for key, part in fields.items()]
    elif isinstance(value, dict):
        parts = [(f"{name}[{key!r}]", part) for key, part in value.items()]
    elif isinstance(value, (list, tuple)):
        parts = [(f"{name}[{i}]", part) for i, part in enumerate(value)]
    else:
        return [(name, value)]
    return [leaf for path, part in parts for leaf in _leaves(path, part)]
