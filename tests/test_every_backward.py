"""What every operation promises, whatever it computes: found by itself, checked with one test for all.

An operation is here because `minimobilebert.ops` or `minimobilebert.distillation` has a public function called
something_backward; its random shapes come from `gradcheck_cases.py`.
"""

import importlib
import os
import pkgutil
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minimobilebert.distillation
import minimobilebert.ops
from minimobilebert.gradcheck import check_gradients
from minimobilebert.gradcheck_cases import CASES
from minimobilebert.kernels.backend import use_backend
from minimobilebert.kernels.jit import set_threads

SEEDS = st.integers(0, 2**32 - 1)
NAMES = sorted(CASES)


def public_backwards():
    """Names of the functions *_backward that a module of the two packages defines, not merely imports."""
    for package in (minimobilebert.ops, minimobilebert.distillation):
        for info in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
            module = importlib.import_module(info.name)
            for name, value in vars(module).items():
                if name.endswith("_backward") and not name.startswith("_") and value.__module__ == info.name:
                    yield name


def test_every_public_backward_has_a_case_and_every_case_its_backward():
    found = list(public_backwards())
    assert len(found) >= 17 and len(set(found)) == len(found)
    assert set(found) == set(CASES)


# Layouts of the same numbers: as they are, every second element of a wider array, axes in the opposite order in
# memory, and backwards.


def spread(a):
    wide = np.full((*a.shape[:-1], 2 * a.shape[-1] + 1), np.nan, a.dtype)
    wide[..., 1::2] = a
    return wide[..., 1::2]


def permuted(a):
    return np.array(a.T, order="C").T


def reversed_in_memory(a):
    return np.array(a[..., ::-1])[..., ::-1]


LAYOUTS = [np.array, spread, permuted, reversed_in_memory]


def relaid(layout, value):
    """The layout of an array, or of a tuple of them; numbers stay as they are."""
    if isinstance(value, tuple):
        return tuple(relaid(layout, part) for part in value)
    return layout(value) if np.ndim(value) else value


def run(case, dtype=np.float64, layout=np.array, seed=0, inputs=None):
    """Forward and backward once -> outputs and gradients, a flat list of arrays (and floats)."""
    inputs = list(case.inputs.values()) if inputs is None else inputs
    y, cache = case.forward(*(layout(a.astype(dtype)) for a in inputs))
    rng = np.random.default_rng(seed)
    outputs = y if isinstance(y, tuple) else (y,)
    dy = tuple(
        rng.standard_normal(part.shape).astype(dtype) if np.ndim(part) else float(rng.standard_normal())
        for part in outputs
    )
    gradients = case.backward(relaid(layout, dy if isinstance(y, tuple) else dy[0]), cache)
    gradients = gradients if isinstance(gradients, tuple) else (gradients,)
    return [*outputs, *(g for g in gradients if g is not None)]


@pytest.mark.parametrize("name", NAMES)
@given(seed=SEEDS)
def test_gradients(backend, name, seed):
    case = CASES[name](np.random.default_rng(seed))
    check_gradients(case.forward, case.backward, case.inputs, seed=seed, kinks=case.kinks).raise_on_failure()


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=5)
@given(seed=SEEDS)
def test_any_memory_layout_gives_the_same(backend, name, seed):
    case = CASES[name](np.random.default_rng(seed))
    plain = run(case)
    for layout in LAYOUTS[1:]:
        for a, b in zip(run(case, layout=layout), plain, strict=True):
            # NumPy sums in the order of memory, so only the last digits may differ.
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13 * (1 + np.abs(b).max(initial=0.0)))


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=8)
@given(seed=SEEDS)
def test_float32_stays_float32_and_is_right_up_to_rounding(backend, name, seed):
    case = CASES[name](np.random.default_rng(seed))
    inputs = [a.astype(np.float32) for a in case.inputs.values()]  # both precisions start from the same numbers
    single, double = run(case, np.float32, inputs=inputs), run(case, np.float64, inputs=inputs)
    for a, b in zip(single, double, strict=True):
        if np.ndim(a):
            assert (a.dtype, b.dtype) == (np.float32, np.float64)
        # A rounding is 6e-8. Sums here have up to 30 terms, divisions by small deviations cost two more digits.
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5 * (1e-3 + np.abs(b).max(initial=0.0)))


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=8)
@given(seed=SEEDS)
def test_the_two_back_ends_agree(name, seed):
    case = CASES[name](np.random.default_rng(seed))
    for dtype, digits in ((np.float64, 1e-11), (np.float32, 1e-4)):
        results = []
        for backend in ("numpy", "numba"):
            with use_backend(backend):
                results.append(run(case, dtype))
        for a, b in zip(*results, strict=True):
            assert np.shape(a) == np.shape(b)
            np.testing.assert_allclose(a, b, rtol=digits, atol=digits * (0.1 + np.abs(a).max(initial=0.0)))


# Dropout may drop the NaN, embedding_backward has no arithmetic in its forward, labels pick one logit: the test below
# puts NaN everywhere, so that something of it must arrive.
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_nan_in_nan_out(backend, name, dtype):
    """In the outputs for NaN inputs, and in the gradients for a NaN dy: no maximum, comparison or clip hides it."""
    for seed in range(4):
        case = CASES[name](np.random.default_rng(seed))
        if any(a.size == 0 for a in case.inputs.values()):
            continue
        y, cache = case.forward(*(np.full(a.shape, np.nan, dtype) for a in case.inputs.values()))
        for part in y if isinstance(y, tuple) else (y,):
            assert np.isnan(part).any() or np.size(part) == 0 or name == "dropout_backward"
        y, cache = case.forward(*(a.astype(dtype) for a in case.inputs.values()))
        dy = tuple(np.full(np.shape(part), np.nan, dtype) if np.ndim(part) else np.nan for part in (y if isinstance(y, tuple) else (y,)))
        gradients = case.backward(dy if isinstance(y, tuple) else dy[0], cache)
        for gradient in gradients if isinstance(gradients, tuple) else (gradients,):
            if gradient is not None and name not in ("dropout_backward", "relu_backward"):
                assert np.isnan(gradient).any() or all(np.size(part) == 0 for part in dy)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_bits_depend_neither_on_threads_nor_on_addresses(name, dtype):
    """LLVM may choose between two versions of a loop by where its arrays lie; both must give the same bits."""

    def behind(gap):
        def layout(a):
            room = np.empty(a.size + gap, a.dtype)[gap:].reshape(a.shape)
            room[...] = a
            return room

        return layout

    results = set()
    case = large_case(name)
    try:
        for threads in (1, 2):
            set_threads(threads)
            for gap in range(0, 9, 2):
                with use_backend("numba"):
                    results.add(b"".join(np.asarray(a).tobytes() for a in run(case, dtype, behind(gap))))
    finally:
        set_threads(2)
    assert len(results) == 1
