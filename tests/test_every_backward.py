"""What every operation promises, whatever it computes: found by itself, checked with one test for all.

An operation is here because `minimobilebert.ops` or `minimobilebert.distillation` has a public function called
something_backward; its random shapes come from `gradcheck/cases.py`.
"""

import importlib
import inspect
import os
import pkgutil
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from thread_counts import threads

import minimobilebert.distillation
import minimobilebert.ops
from minimobilebert.distillation import attention_transfer
from minimobilebert.gradcheck import check_gradients
from minimobilebert.gradcheck.cases import CASES, Case
from minimobilebert.kernels.runtime.backend import use_backend
from minimobilebert.kernels.runtime.jit import get_num_threads
from minimobilebert.ops import attention, cross_entropy, gelu, layernorm, linear, nonorm, relu, softmax, tanh
from minimobilebert.ops.fused import dense_activation, dense_nonorm

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


def accelerated():
    """Every function of the package that names a compiled twin."""
    for info in pkgutil.walk_packages(minimobilebert.__path__, "minimobilebert."):
        if info.name.split(".")[1] in ("ops", "distillation", "training"):
            for value in vars(importlib.import_module(info.name)).values():
                if hasattr(value, "compiled_twin") and value.__module__ == info.name:
                    yield value


def test_both_twins_of_an_operation_take_the_same_arguments():
    found = list(accelerated())
    assert len(found) >= 25
    for operation in found:
        twins = operation.numpy_twin, operation.compiled_twin
        assert inspect.signature(twins[0]) == inspect.signature(twins[1]), operation.__name__


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


def as_tuple(value):
    return value if isinstance(value, tuple) else (value,)


def run(case, dtype=np.float64, layout=np.array, seed=0, inputs=None):
    """Forward and backward once -> outputs and gradients, a flat list of arrays (and floats)."""
    inputs = list(case.inputs.values()) if inputs is None else inputs
    y, cache = case.forward(*(layout(a.astype(dtype)) for a in inputs))
    rng = np.random.default_rng(seed)
    dy = tuple(
        rng.standard_normal(part.shape).astype(dtype) if np.ndim(part) else float(rng.standard_normal())
        for part in as_tuple(y)
    )
    gradients = case.backward(relaid(layout, dy if isinstance(y, tuple) else dy[0]), cache)
    return [*as_tuple(y), *(g for g in as_tuple(gradients) if g is not None)]


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


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"dropout_backward", "relu_backward"}))  # these may drop it
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_nan_in_nan_out(backend, name, dtype):
    """No maximum, comparison or clip hides a NaN on its way, forward or backward."""
    for seed in range(4):
        case = CASES[name](np.random.default_rng(seed))
        y, _ = case.forward(*(np.full(a.shape, np.nan, dtype) for a in case.inputs.values()))
        for part in as_tuple(y):
            assert np.isnan(part).any() or np.size(part) == 0
        y, cache = case.forward(*(a.astype(dtype) for a in case.inputs.values()))
        dy = tuple(np.full(part.shape, np.nan, dtype) if np.ndim(part) else np.nan for part in as_tuple(y))
        for gradient in as_tuple(case.backward(dy if isinstance(y, tuple) else dy[0], cache)):
            assert gradient is None or np.isnan(gradient).any() or sum(np.size(part) for part in dy) == 0


def large_cases(rng):
    """Name -> forward, backward, inputs, at sizes where several threads and several vector registers work."""
    x, weight, bias, matrix = rng.normal(size=(3, 70, 131)), *rng.normal(size=(2, 131)), rng.normal(size=(45, 131))
    labels, targets = rng.integers(0, 131, 210), rng.random((210, 131))
    mask, maps = np.arange(37) < np.array([[37], [20], [1]]), rng.normal(size=(2, 3, 4, 37, 37))
    affine, rows = {"x": x, "weight": weight, "bias": bias}, {"logits": x.reshape(210, 131)}
    heads = dict(zip(("query", "key", "value"), rng.normal(size=(3, 3, 37, 20)), strict=True))
    return {
        "linear": (linear.linear_forward, linear.linear_backward, {"x": x, "weight": matrix, "bias": bias[:45]}),
        **{
            f"dense_{name}": (
                lambda x, weight, bias, name=name: dense_activation.dense_activation_forward(x, weight, bias, name),
                dense_activation.dense_activation_backward, {"x": x, "weight": matrix, "bias": bias[:45]},
            )
            for name in ("relu", "gelu", "gelu_tanh")
        },
        "dense_nonorm": (
            dense_nonorm.dense_nonorm_forward, dense_nonorm.dense_nonorm_backward,
            {"x": x, "weight": matrix, "bias": bias[:45], "residual": x[..., :45], "scale": bias[1:46], "shift": bias[2:47]},
        ),
        "nonorm": (nonorm.nonorm_forward, nonorm.nonorm_backward, affine),
        "layernorm": (layernorm.layernorm_forward, layernorm.layernorm_backward, affine),
        "relu": (relu.relu_forward, relu.relu_backward, {"x": x}),
        "gelu": (gelu.gelu_forward, gelu.gelu_backward, {"x": x}),
        "gelu_tanh": (gelu.gelu_tanh_forward, gelu.gelu_tanh_backward, {"x": x}),
        "tanh": (tanh.tanh_forward, tanh.tanh_backward, {"x": x}),
        "softmax": (softmax.softmax_forward, softmax.softmax_backward, {"x": x}),
        "cross_entropy": (
            lambda z: cross_entropy.cross_entropy_forward(z, labels), cross_entropy.cross_entropy_backward, rows,
        ),
        "soft_cross_entropy": (
            lambda z: cross_entropy.soft_cross_entropy_forward(z, targets.astype(z.dtype)),
            cross_entropy.soft_cross_entropy_backward, rows,
        ),
        "attention": (
            lambda *qkv: attention.attention_forward(*qkv, mask, 4), attention.attention_backward, heads,
        ),
        "attention_transfer": (
            lambda s: attention_transfer.attention_transfer_forward(s, maps[1].astype(s.dtype), mask),
            attention_transfer.attention_transfer_backward, {"student": maps[0]},
        ),
    }  # fmt: skip


def behind(gap):
    """A layout: the array starts `gap` numbers after the start of its memory."""

    def layout(a):
        room = np.empty(a.size + gap, a.dtype)[gap:].reshape(a.shape)
        room[...] = a
        return room

    return layout


@pytest.mark.parametrize("name", large_cases(np.random.default_rng(0)))
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_bits_depend_neither_on_threads_nor_on_addresses(name, dtype):
    """Threads may share the work in any way, and arrays may lie anywhere."""
    case = Case(*large_cases(np.random.default_rng(1))[name])
    most, results = get_num_threads(), set()
    for count in (1, most, max(1, most - 1)):
        with threads(count), use_backend("numba"):
            for gap in range(0, 9, 2):
                results.add(b"".join(np.asarray(a).tobytes() for a in run(case, dtype, behind(gap))))
    assert len(results) == 1


@pytest.mark.parametrize("name", large_cases(np.random.default_rng(0)))
def test_large_arrays_agree_between_back_ends(name):
    case = Case(*large_cases(np.random.default_rng(2))[name])
    for dtype, digits in ((np.float64, 1e-12), (np.float32, 1e-5)):
        results = []
        for backend in ("numpy", "numba"):
            with use_backend(backend):
                results.append(run(case, dtype))
        for a, b in zip(*results, strict=True):
            # Sums over 210 rows in another order: sqrt(210) roundings of the largest entry, and some room.
            np.testing.assert_allclose(a, b, rtol=digits, atol=digits * np.abs(a).max())


SCRIPT = """
import sys
import numpy as np
from test_every_backward import CASES, run
arrays = [np.asarray(a) for name in sorted(CASES) for a in run(CASES[name](np.random.default_rng(7)))]
np.savez(sys.argv[1], *arrays)
"""


@pytest.mark.parametrize("setting", [{"NUMBA_DISABLE_JIT": "1"}, {"MINIMOBILEBERT_BACKEND": "numpy"}])
def test_the_same_without_compiler_and_without_numba(tmp_path, setting):
    """As plain Python, where a debugger can look inside; and on a machine that has no Numba at all."""
    script = SCRIPT
    if "MINIMOBILEBERT_BACKEND" in setting:
        script = "import sys\nsys.modules['numba'] = None\n" + SCRIPT  # importing it would now raise ImportError
    here = os.path.dirname(__file__)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([os.path.dirname(here), here]), **setting}
    subprocess.run([sys.executable, "-c", script, str(tmp_path / "out.npz")], env=environment, check=True)
    expected = [a for name in NAMES for a in run(CASES[name](np.random.default_rng(7)))]
    with np.load(tmp_path / "out.npz") as found:
        assert len(found.files) == len(expected)
        for key, b in zip(found.files, expected, strict=True):
            np.testing.assert_allclose(found[key], b, rtol=1e-11, atol=1e-13 * (1 + np.abs(b).max(initial=0.0)))
