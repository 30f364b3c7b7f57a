"""Compare the result of a student's function with the expected one, and diagnose the difference."""

import numpy as np

from ...gradcheck import diagnosis
from ..sandbox.wire import fields_of, kind_of


class Different(AssertionError):
    """A result differs from the expected one: the tensor, (label, text) lines, and a diagnosis."""

    def __init__(self, tensor, lines, looks_like, passes=()):
        super().__init__(f"{tensor}: {looks_like}")
        self.tensor, self.lines, self.looks_like, self.passes = tensor, tuple(lines), looks_like, tuple(passes)


def describe(value):
    """A short description of a value for a message."""
    if isinstance(value, np.ndarray):
        return f"an array {value.dtype}{list(value.shape)}"
    if (fields := fields_of(value)) is not None:
        return f"{kind_of(value).rpartition(':')[2]}({', '.join(fields)})"
    if isinstance(value, (list, tuple, dict, set)):
        return f"a {type(value).__name__} of {len(value)}"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def equal(name, found, expected, tolerance, dtype=None):
    """See Trial.equal."""
    expected = np.asarray(expected)
    if not isinstance(found, (np.ndarray, np.generic, float, int)) or isinstance(found, bool):
        raise Different(name, (), f"{name} is {describe(found)}, expected {describe(expected)}")
    found = np.asarray(found)
    if found.dtype.kind not in "biuf" and found.dtype.kind != expected.dtype.kind:
        raise Different(name, (), f"{name} is {describe(found)}, expected {describe(expected)}")
    if found.shape != expected.shape:
        kind, text = diagnosis.pattern_of_shape(found, expected)
        text = "another shape than documented" if kind == "shape" else text
        lines = [("shapes", f"{name} {found.shape}, expected {expected.shape}")]
        raise Different(name, lines, text)
    if dtype is not None and found.dtype != dtype:
        lines = [("shapes", f"{name} {found.shape} ok      dtype {found.dtype}, expected {np.dtype(dtype)}")]
        text = f"{found.dtype} out of {np.dtype(dtype)}: a NumPy number such as np.sqrt(2.0), or a new array?"
        raise Different(name, lines, text)
    if expected.dtype.kind not in "fc":
        wrong = found != expected
        if np.any(wrong):
            _raise_exact(name, found, expected, wrong)
        return
    found, expected = found.astype(np.float64), expected.astype(np.float64)
    errors = relative_errors(found, expected)
    if not np.all(errors <= tolerance):
        lines = _where(name, found, expected, errors, tolerance)
        raise Different(name, lines, looks_like(found, expected, errors, tolerance))


def relative_errors(found, expected):
    """|found - expected| / the largest finite |expected|; infinite where NaN or infinity differ"""
    with np.errstate(all="ignore"):
        finite = np.abs(expected[np.isfinite(expected)])
        scale = finite.max(initial=0.0)
        agree = (found == expected) | (np.isnan(found) & np.isnan(expected))
        error = np.abs(found - expected) / (scale if scale > 0.0 else 1.0)
        return np.where(agree, 0.0, np.where(np.isfinite(error), error, np.inf))


def _raise_exact(name, found, expected, wrong):
    index = np.unravel_index(int(np.argmax(wrong)), wrong.shape)
    location = f"{name}[{', '.join(map(str, index))}]" if wrong.ndim else name
    lines = [("where", f"{location}, the first of {wrong.size}; {int(wrong.sum())} of them wrong"),
             ("found", f"{found[index]}      expected {expected[index]}")]  # fmt: skip
    raise Different(name, lines, "other values than expected")


def _where(name, found, expected, errors, tolerance):
    index = np.unravel_index(int(np.argmax(errors)), errors.shape)
    location = f"{name}[{', '.join(map(str, index))}]"
    value, right = float(found[index]), float(expected[index])
    with np.errstate(all="ignore"):
        ratio = f"      ratio {value / right:.4g}" if right and np.isfinite(value) and np.isfinite(right) else ""
        finite = np.isfinite(expected)
        large = finite & (np.abs(expected) > 1e-3 * np.abs(expected[finite]).max(initial=0.0))
        ratios = found[large] / expected[large]
    if ratio and ratios.size > 1 and np.ptp(ratios) <= diagnosis.CLOSE * np.abs(ratios).max():
        ratio += f" on every entry (spread {np.ptp(ratios):.0e})"
    digits = 6 if abs(value - right) > 1e-3 * abs(right) else 12
    if not errors.ndim:
        return [("found", f"{value:.{digits}g}      expected {right:.{digits}g}{ratio}")]
    return [
        (
            "where",
            f"{location}, the worst of {errors.size} entries; {int((~(errors <= tolerance)).sum())} of them wrong",
        ),
        ("found", f"{value:.{digits}g}      expected {right:.{digits}g}{ratio}"),
        ("shapes", f"{name} {found.shape} ok"),
    ]


class _Nothing:
    """An empty stand-in for the Passes that the gradient checker's diagnosis reads."""

    ignores_dy, inputs, dy = frozenset(), {}, ()


def looks_like(found, expected, errors, tolerance, sizes=()):
    """A likely cause of the difference of two arrays of the same shape, as text."""

    class Errors:
        def relative_errors(self, _):
            return errors

    index = np.unravel_index(int(np.argmax(errors)), errors.shape)  # the entry that the message shows
    if not np.isfinite(expected[index]):
        return f"{'a number' if np.isfinite(found[index]) else found[index]} where {expected[index]} is expected"
    if np.isinf(found[index]) and np.any(expected == found[index]):
        return f"{found[index]} where a number is expected"
    if not expected.ndim and found == 0.0:
        return "0 where another number is expected"
    agree = ~np.isfinite(expected) & (errors == 0.0)  # an expected infinity is not an overflow
    found, expected = np.where(agree, 0.0, found), np.where(agree, 0.0, expected)
    run = _Nothing()
    run.inputs = {"y": expected, **{str(i): array for i, array in enumerate(sizes)}}
    return diagnosis.pattern_of_values("y", found, expected, run, {"y": Errors()}, tolerance)[1]


def same(name, found, expected, tolerance):
    """See Trial.same."""
    if isinstance(expected, (np.ndarray, np.generic)) or (isinstance(expected, float) and not isinstance(found, bool)):
        dtype = expected.dtype if isinstance(expected, np.ndarray) else None
        return equal(name, found, expected, tolerance, dtype)
    fields, found_fields = fields_of(expected), fields_of(found)
    if fields is not None:
        if found_fields is None or list(found_fields) != list(fields):
            raise Different(name, (), f"{name} is {describe(found)}, expected {describe(expected)}")
        for key in fields:
            same(f"{name}.{key}", found_fields[key], fields[key], tolerance)
    elif isinstance(expected, dict):
        if not isinstance(found, dict) or set(found) != set(expected):
            raise Different(name, (), _keys(name, found, expected))
        for key in expected:
            same(f"{name}[{key!r}]", found[key], expected[key], tolerance)
    elif isinstance(expected, (list, tuple)):
        if not isinstance(found, (list, tuple)) or fields_of(found) is not None or len(found) != len(expected):
            text = f"{name} is {describe(found)}, expected {describe(expected)}"
            if isinstance(found, (list, tuple)) and len(expected) <= 12:
                text += f": {_short(found)} instead of {_short(expected)}"
            raise Different(name, (), text)
        for i, (a, b) in enumerate(zip(found, expected, strict=True)):
            same(f"{name}[{i}]", a, b, tolerance)
    elif type(found) is not type(expected) or found != expected:
        is_number = isinstance(found, np.generic) and found == expected
        if not is_number:
            raise Different(name, [("found", f"{describe(found)}      expected {describe(expected)}")],
                            "another value than expected")  # fmt: skip


def _short(values):
    text = repr(list(values))
    return text if len(text) <= 160 else text[:157] + "..."


def _keys(name, found, expected):
    if not isinstance(found, dict):
        return f"{name} is {describe(found)}, expected {describe(expected)}"
    missing, extra = set(expected) - set(found), set(found) - set(expected)
    parts = [f"{what} {', '.join(sorted(map(repr, keys))[:6])}" for what, keys in
             (("no", missing), ("unexpected", extra)) if keys]  # fmt: skip
    return f"keys of {name}: {'; '.join(parts)}"


def unchanged(name, before, after):
    """Different if an argument of a call was modified."""
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
