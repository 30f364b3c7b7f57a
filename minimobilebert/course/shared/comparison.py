"""Compare the result of a student's function with the expected one, and diagnose the difference."""

import dataclasses

import numpy as np

from ...gradcheck import patterns
from ...gradcheck.diagnosis import Known
from ...gradcheck.factors import CLOSE
from ..sandbox.wire import fields_of, kind_of

NOTHING = Known({})
LONGEST_KEY = 80  # of a dict; the longest name of a parameter has 70 characters
CERTAIN_SHAPES = {"keepdims", "transposed"}


class Different(AssertionError):
    """A result differs from the expected one: the tensor, (label, text) lines, and a diagnosis.

    certainty: as in gradcheck/patterns.py; without a cause (2), another result of the call may say more
    kind: that of the pattern which fits, "" for none
    """

    def __init__(self, tensor, lines, looks_like, passes=(), certainty=1, kind=""):
        super().__init__(f"{tensor}: {looks_like}")
        self.tensor, self.lines, self.looks_like, self.passes = tensor, tuple(lines), looks_like, tuple(passes)
        self.certainty, self.kind = certainty, kind


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


def equal(name, found, expected, tolerance, dtype=None, known=NOTHING):
    """See Trial.equal."""
    expected = np.asarray(expected)
    if not isinstance(found, (np.ndarray, np.generic, float, int)) or isinstance(found, bool):
        raise Different(name, (), f"{name} is {describe(found)}, expected {describe(expected)}")
    found = np.asarray(found)
    if found.dtype.kind not in "biuf" and found.dtype.kind != expected.dtype.kind:
        raise Different(name, (), f"{name} is {describe(found)}, expected {describe(expected)}")
    if found.shape != expected.shape:
        kind, text = patterns.pattern_of_shape(found, expected, "another shape than documented")
        if kind not in CERTAIN_SHAPES and (text_of_input := patterns.an_input(found, known)):
            kind, text = "named", text_of_input
        elif kind == "shape" and known.depends is not None and (missing := known.depends(name)):
            kind, text = "depends", f"{text}; {missing}"
        lines = [("shapes", f"{name} {found.shape}, expected {expected.shape}")]
        raise Different(name, lines, text, certainty=patterns.certainty(kind), kind=kind)
    if dtype is not None and found.dtype != dtype:
        lines = [("shapes", f"{name} {found.shape} ok      dtype {found.dtype}, expected {np.dtype(dtype)}")]
        text = f"{found.dtype} where {np.dtype(dtype)} is expected: "
        widened = found.dtype == np.float64 and dtype == np.float32
        text += (
            "a NumPy number such as np.sqrt(2.0), or a new array?"
            if widened
            else "is something converted to another type, or not converted?"
        )
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
        kind, text = looks_like(name, found, expected, errors, tolerance, known)
        raise Different(name, lines, text, certainty=patterns.certainty(kind), kind=kind)


def are_equal(found, expected, tolerance):
    """True where `equal` would not raise"""
    try:
        equal("", found, expected, tolerance)
    except Different:
        return False
    return True


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
    raise Different(name, lines, "other values than expected", certainty=0)


def _where(name, found, expected, errors, tolerance):
    index = np.unravel_index(int(np.argmax(errors)), errors.shape)
    location = f"{name}[{', '.join(map(str, index))}]"
    value, right = float(found[index]), float(expected[index])
    with np.errstate(all="ignore"):
        ratio = f"      ratio {value / right:.4g}" if right and np.isfinite(value) and np.isfinite(right) else ""
        finite = np.isfinite(expected)
        large = finite & (np.abs(expected) > 1e-3 * np.abs(expected[finite]).max(initial=0.0))
        ratios = found[large] / expected[large]
    if ratio and ratios.size > 1 and np.ptp(ratios) <= CLOSE * np.abs(ratios).max():
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


def looks_like(name, found, expected, errors, tolerance, known=NOTHING):
    """-> kind, text: a likely cause of the difference of two arrays of the same shape. known: as in gradcheck"""

    class Errors:
        def relative_errors(self, _):
            return errors

    index = np.unravel_index(int(np.argmax(errors)), errors.shape)  # the entry that the message shows
    if not np.isfinite(expected[index]):
        number = "a number" if np.isfinite(found[index]) else found[index]
        return "not finite", f"{number} where {expected[index]} is expected"
    if np.isinf(found[index]) and np.any(expected == found[index]):
        return "not finite", f"{found[index]} where a number is expected"
    if not expected.ndim and found == 0.0:
        return "zeros", "0 where another number is expected"
    agree = ~np.isfinite(expected) & (errors == 0.0)  # an expected infinity is not an overflow
    found, expected = np.where(agree, 0.0, found), np.where(agree, 0.0, expected)
    known = dataclasses.replace(known, inputs={name: expected})
    return patterns.pattern_of_values(name, found, expected, known, {name: Errors()}, tolerance)


def same(name, found, expected, tolerance, known=NOTHING):
    """See Trial.same."""
    if isinstance(expected, (np.ndarray, np.generic)) or (isinstance(expected, float) and not isinstance(found, bool)):
        dtype = expected.dtype if isinstance(expected, np.ndarray) else None
        return equal(name, found, expected, tolerance, dtype, known)
    fields, found_fields = fields_of(expected), fields_of(found)
    if fields is not None:
        if found_fields is None or list(found_fields) != list(fields):
            raise Different(name, (), f"{name} is {describe(found)}, expected {describe(expected)}")
        _same_parts((f"{name}.{key}", found_fields[key], fields[key], tolerance, known) for key in fields)
    elif isinstance(expected, dict):
        if not isinstance(found, dict) or set(found) != set(expected):
            raise Different(name, (), _keys(name, found, expected))
        _same_parts((f"{name}[{_abbreviated(key)}]", found[key], expected[key], tolerance, known) for key in expected)
    elif isinstance(expected, (list, tuple)):
        if not isinstance(found, (list, tuple)) or fields_of(found) is not None or len(found) != len(expected):
            text = f"{name} is {describe(found)}, expected {describe(expected)}"
            if isinstance(found, (list, tuple)) and len(expected) <= 12:
                text += f": {_short(found)} instead of {_short(expected)}"
            raise Different(name, (), text)
        pairs = enumerate(zip(found, expected, strict=True))
        _same_parts((f"{name}[{i}]", a, b, tolerance, known) for i, (a, b) in pairs)
    elif type(found) is not type(expected) or found != expected:
        is_number = isinstance(found, np.generic) and found == expected
        if not is_number:
            raise Different(name, [("found", f"{describe(found)}      expected {describe(expected)}")],
                            "another value than expected")  # fmt: skip


def _same_parts(parts):
    """`same` for several parts: of their differences the first one that says most"""
    best = None
    for part in parts:
        try:
            same(*part)
        except Different as different:
            best = best if best is not None and best.certainty >= different.certainty else different
    if best is not None:
        raise best


def _short(values):
    text = repr(list(values))
    return text if len(text) <= 160 else text[:157] + "..."


def _abbreviated(key):
    """'aaaaaaaaaaaaaaaa...' (100 characters): a message has the key of a dict several times"""
    text = repr(key)
    return text if len(text) <= LONGEST_KEY else f"{text[:17]}...{text[0]} ({len(key)} characters)"


def _keys(name, found, expected):
    if not isinstance(found, dict):
        return f"{name} is {describe(found)}, expected {describe(expected)}"
    missing, extra = set(expected) - set(found), set(found) - set(expected)
    parts = [f"{what} {', '.join(sorted(map(_abbreviated, keys))[:6])}" for what, keys in
             (("no", missing), ("unexpected", extra)) if keys]  # fmt: skip
    return f"keys of {name}: {'; '.join(parts)}"


def unchanged(name, before, after):
    """Different if an argument of a call was modified."""
    earlier, later = dict(leaves(name, before)), dict(leaves(name, after))
    for path in earlier.keys() ^ later.keys():
        what = "was added to" if path in later else "was removed from"
        raise Different(path, (), f"{path} {what} what the function was given: make a new one, or a copy", certainty=2)
    for path, was in earlier.items():
        now = later[path]
        if isinstance(was, np.ndarray):
            alike = isinstance(now, np.ndarray) and was.shape == now.shape and was.tobytes() == now.tobytes()
        else:
            alike = repr(was) == repr(now)
        if not alike:
            text = f"{path} was changed in place: write to a new array, or to a copy"
            raise Different(path, (), text, certainty=2)


def leaves(name, value):
    """[(path such as "cache.x", value)] of everything in nested named tuples, dicts, lists and tuples"""
    fields = fields_of(value)
    if fields is not None:
        parts = [(f"{name}.{key}", part) for key, part in fields.items()]
    elif isinstance(value, dict):
        parts = [(f"{name}[{_abbreviated(key)}]", part) for key, part in value.items()]
    elif isinstance(value, (list, tuple)):
        parts = [(f"{name}[{i}]", part) for i, part in enumerate(value)]
    else:
        return [(name, value)]
    return [leaf for path, part in parts for leaf in leaves(path, part)]
