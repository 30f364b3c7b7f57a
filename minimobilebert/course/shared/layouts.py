"""The same arrays with another dtype or memory layout."""

import numpy as np

from ..sandbox.wire import Record, fields_of, kind_of


def single_arguments(args):
    """{name: value} with all float64 arrays as float32"""
    return {key: single(value) for key, value in args.items()}


def single(value):
    """A float64 array as float32; any other value unchanged"""
    return value.astype(np.float32) if isinstance(value, np.ndarray) and value.dtype == np.float64 else value


def double(value):
    """A float32 array as float64; any other value unchanged"""
    return value.astype(np.float64) if isinstance(value, np.ndarray) and value.dtype == np.float32 else value


def mapped(value, change):
    """Apply `change` to everything in named tuples, tuples, lists and dicts."""
    if (fields := fields_of(value)) is not None:
        return Record(kind_of(value), {key: mapped(part, change) for key, part in fields.items()})
    if isinstance(value, (tuple, list)):
        return type(value)(mapped(part, change) for part in value)
    if isinstance(value, dict):
        return {key: mapped(part, change) for key, part in value.items()}
    return change(value)


def single_all(given):
    """All float64 arrays in nested caches and tuples as float32"""
    return mapped(given, single)


def _backwards_axes(x):
    return np.ascontiguousarray(x.T).T


def _every_second(x):
    wide = np.zeros((*x.shape[:-1], 2 * x.shape[-1]), x.dtype) if x.ndim else x.copy()
    if not x.ndim:
        return wide
    wide[..., ::2] = x
    return wide[..., ::2]


def _reversed(x):
    return np.flip(np.ascontiguousarray(np.flip(x)))


LAYOUTS = (_backwards_axes, _every_second, _reversed)


def laid_out(value, layout):
    """An array in one of the LAYOUTS; any other value unchanged"""
    return layout(value) if isinstance(value, np.ndarray) and value.ndim else value


def laid_out_all(given, layout):
    """A tuple of values with its arrays in one of the LAYOUTS"""
    return tuple(laid_out(value, layout) for value in given)
