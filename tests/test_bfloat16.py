"""Products in bfloat16: rounding, the instruction's arithmetic, all layouts, attention, gradients, and who asks for it.

That other processors compute the same bits is tested in test_same_bits.py.
"""

import dataclasses
import os
import subprocess
import sys
import threading

import numpy as np
import pytest
from documents import ROOT
from hypothesis import example, given
from hypothesis import strategies as st

from minimobilebert.bench.training import random_batch
from minimobilebert.config import preset
from minimobilebert.distillation.sentence_vector_transfer import (
    similarity_transfer_backward,
    similarity_transfer_forward,
)
from minimobilebert.kernels.gemm.rounding import round_bits
from minimobilebert.kernels.runtime.backend import use_backend
from minimobilebert.kernels.runtime.precision import current_precision, in_float32, use_precision
from minimobilebert.model.heads import masked_word_backward, masked_word_forward, words_name
from minimobilebert.model.parameters import init_parameters, parameter_shapes
from minimobilebert.model.pretraining import pretraining_step
from minimobilebert.ops import attention, linear
from minimobilebert.ops.bfloat16 import rounded, stochastically_rounded
from minimobilebert.ops.matmul import matmul

SPECIAL = [0.0, -0.0, np.inf, -np.inf, np.nan, 1e-39, -1e-45, 2.0**-126, 3.4e38, -3.4028235e38, 1.00390625, 1.01171875]


def nearest(x):
    """The rule in words: of the two bfloat16 around x the nearer one, of two equally near ones the even one."""
    if np.isnan(x) or np.isinf(x) or x == 0.0:
        return x
    if abs(x) < 2.0**-126:
        return np.float32(np.copysign(0.0, x))
    exponent = np.floor(np.log2(abs(np.float64(x))))
    step = 2.0 ** (exponent - 7)  # between two neighbours with 8 significant bits
    below = np.floor(np.float64(x) / step)
    rest = np.float64(x) / step - below
    up = rest > 0.5 or (rest == 0.5 and below % 2 == 1)
    with np.errstate(over="ignore"):
        return np.float32((below + up) * step)


@given(bits=st.integers(0, 2**32 - 1))
def test_rounding_is_to_the_nearest_and_ties_to_even(bits):
    x = np.array([bits], np.uint32).view(np.float32)
    found = rounded(x)[0]
    expected = nearest(x[0])
    assert np.isnan(found) if np.isnan(expected) else found == expected and np.signbit(found) == np.signbit(expected)


@pytest.mark.parametrize("x", SPECIAL)
def test_special_numbers(x):
    found, expected = rounded(np.float32([x]))[0], nearest(np.float32(x))
    assert np.isnan(found) if np.isnan(expected) else found == expected
    assert int(rounded(np.float32([x])).view(np.uint32)[0]) & 0xFFFF == 0


def test_one_number_is_rounded_as_arrays_are():
    rng = np.random.default_rng(1)
    bits = np.concatenate([rng.integers(0, 2**32, 20000, dtype=np.uint32), np.float32(SPECIAL).view(np.uint32)])
    expected = rounded(bits.view(np.float32)).view(np.uint32) >> 16
    one = np.array([int(round_bits(np.uint32(x))) for x in bits[-2000:]], np.uint32)
    np.testing.assert_array_equal(one, expected[-2000:])


def neighbours(x):
    """The bfloat16 around finite numbers, nearer to 0 and farther from it -> below, above; both x where x is one"""
    bits = np.float32(x).view(np.uint32)
    below = bits & np.uint32(0xFFFF0000)
    return below.view(np.float32), (below + np.uint32(0x10000) * (bits != below)).astype(np.uint32).view(np.float32)


@given(bits=st.integers(0, 2**32 - 1), seed=st.integers(0, 2**31))
@example(bits=0x7F800001, seed=1)  # NaN that would be cut off to infinity
@example(bits=0x7FFFFFFF, seed=1)  # NaN that would overflow to -0
@example(bits=0xFF800000, seed=1)  # -infinity
@example(bits=0x80000001, seed=1)  # denormal
def test_random_rounding_gives_a_neighbour(bits, seed):
    x = np.array([bits], np.uint32).view(np.float32)
    found = stochastically_rounded(x, np.random.default_rng(seed))
    assert found.dtype == np.float32 and int(found.view(np.uint32)[0]) & 0xFFFF == 0
    assert np.isnan(found[0]) == np.isnan(x[0]) and (np.isnan(x[0]) or np.signbit(found[0]) == np.signbit(x[0]))
    if np.isfinite(x[0]):
        assert found[0] in (neighbours(x) if abs(x[0]) >= 2.0**-126 else (0.0,))
    elif np.isinf(x[0]):
        assert found[0] == x[0]


@pytest.mark.parametrize("x", [1.0 + 2.0**-9, -1.0 - 2.0**-10, 6e-4, -3.0e7, 1.18e-38])
def test_random_rounding_has_the_mean_of_what_it_rounds(x):
    many = np.full((300, 100), x, np.float32)
    found = stochastically_rounded(many, np.random.default_rng(9))
    below, above = neighbours(many[0, 0])
    share = (np.float64(many[0, 0]) - below) / (np.float64(above) - below)
    deviation = np.sqrt(share * (1.0 - share) / many.size)
    assert abs((found == above).mean() - share) < 5.0 * deviation
    assert len(np.unique(found)) == 2 and (found != found[0]).any()  # each number has a chance of its own


def test_random_rounding_leaves_bfloat16_alone_and_its_argument_as_well():
    rng = np.random.default_rng(10)
    x = rng.normal(size=(40, 50)).astype(np.float32)
    before, exact = x.copy(), rounded(x)
    for layout in (exact, exact.T, exact[::2, ::-1]):
        np.testing.assert_array_equal(stochastically_rounded(layout, rng), layout)
    stochastically_rounded(x, rng)
    np.testing.assert_array_equal(x, before)
    assert stochastically_rounded(x[:0], rng).shape == (0, 50)


LAYOUTS = st.tuples(st.sampled_from("CF"), st.sampled_from("CF"))


@given(m=st.integers(1, 40), k=st.integers(1, 70), n=st.integers(1, 70), layouts=LAYOUTS, seed=st.integers(0, 2**31))
def test_products_of_any_size_and_layout(backend, m, k, n, layouts, seed):
    rng = np.random.default_rng(seed)
    a, b, bias = (rng.normal(size=size).astype(np.float32) for size in ((m, k), (k, n), n))
    with use_precision("bfloat16"):
        found = matmul(np.asarray(a, order=layouts[0]), np.asarray(b, order=layouts[1]), bias=bias)
    exact = rounded(a).astype(np.float64) @ rounded(b) + bias
    # Products of rounded numbers are exact; K + 1 additions in float32 round.
    bound = (
        (k + 2) * np.finfo(np.float32).eps * (np.abs(rounded(a)).astype(np.float64) @ np.abs(rounded(b)) + abs(bias))
    )
    assert (np.abs(found - exact) <= bound).all()


@pytest.mark.parametrize("shape", [(300, 1300, 65), (70, 515, 200), (3, 1030, 97)])
def test_long_sums_and_threads(backend, shape):
    rng = np.random.default_rng(2)
    m, k, n = shape
    a, b = rng.normal(size=(m, k)).astype(np.float32), rng.normal(size=(k, n)).astype(np.float32)
    exact = rounded(a).astype(np.float64) @ rounded(b)
    bound = (k + 2) * np.finfo(np.float32).eps * (np.abs(rounded(a)).astype(np.float64) @ np.abs(rounded(b)))
    with use_precision("bfloat16"):
        for x in (a, np.asfortranarray(a)):
            for y in (b, np.asfortranarray(b)):
                assert (np.abs(matmul(x, y) - exact) <= bound).all()


def in_the_instructions_order(a, b):
    """sum of a * b for K <= 512 in the order of micro_kernel.py: of each pair the odd number first; float32"""
    total = np.zeros((len(a), b.shape[1]), np.float32)
    for k in range(0, a.shape[1], 2):
        for each in (k + 1, k):
            if each < a.shape[1]:
                # exact in float64: a product of 16 bits beside a sum of 24 of about its size
                total = (total.astype(np.float64) + np.outer(a[:, each], b[each]).astype(np.float64)).astype(np.float32)
    return total


@pytest.mark.parametrize("k", [1, 2, 7, 128, 511])
def test_compiled_products_have_the_bits_of_the_written_order(k):
    pytest.importorskip("numba", reason="numba is not installed")
    rng = np.random.default_rng(3)
    a, b = rng.normal(size=(23, k)).astype(np.float32), rng.normal(size=(k, 37)).astype(np.float32)
    with use_backend("numba"), use_precision("bfloat16"):
        for x in (a, np.asfortranarray(a)):
            for y in (b, np.asfortranarray(b)):
                np.testing.assert_array_equal(matmul(x, y), in_the_instructions_order(rounded(a), rounded(b)))


@pytest.mark.parametrize("size", [5, 8, 20, 40])  # 5: neighbours share no word; 8: 4 heads fill one vector
@pytest.mark.parametrize("rate", [0.0, 0.1])
def test_attention_in_both_back_ends(size, rate):
    pytest.importorskip("numba", reason="numba is not installed")
    rng = np.random.default_rng(5)
    query, key, value, dcontext = (rng.normal(size=(2, 37, 4 * size)).astype(np.float32) for _ in range(4))
    mask = np.ones((2, 37), bool)
    mask[1, 30:] = False
    results = {}
    for name in ("numba", "numpy"):
        with use_backend(name), use_precision("bfloat16"):
            y, cache = attention.attention_forward(query, key, value, mask, 4, rate, np.random.default_rng(6))
            results[name] = (y, *attention.attention_backward(dcontext, cache))
    for found, expected in zip(results["numba"], results["numpy"], strict=True):
        # Probabilities that differ in their last digit may round to two neighbouring bfloat16: a few of 2^-8.
        assert np.abs(found - expected).max() <= 2.0**-8 * np.abs(expected).max()
        assert np.linalg.norm(found - expected) <= 2.0**-10 * np.linalg.norm(expected)


# ReLU's derivative jumps at 0: where rounding changes a sign, a number's whole gradient comes or goes.
@pytest.mark.parametrize("activation, cosine", [("gelu_tanh", 0.9995), ("relu", 0.98)])
def test_gradients_of_a_small_model_point_where_those_in_float64_do(backend, activation, cosine):
    dropout = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    config = preset("classroom-student", hidden_act=activation, num_hidden_layers=2, **dropout)
    params = init_parameters(parameter_shapes(config, "pretraining"), config, np.random.default_rng(7))
    batch = random_batch(config, 4, 24)
    with use_backend("numpy"):
        _, exact = pretraining_step({name: x.astype(np.float64) for name, x in params.items()}, config, batch)
    with use_precision("bfloat16"):
        _, found = pretraining_step(params, config, batch)
    for name, gradient in found.items():
        assert gradient.dtype == np.float32, name
        x, y = gradient.astype(np.float64).ravel(), exact[name].ravel()
        if np.linalg.norm(y) > 1e-9:  # a key's bias gets no gradient: softmax does not see it
            assert x @ y > cosine * np.linalg.norm(x) * np.linalg.norm(y), name


def test_only_float32_is_rounded(backend):
    rng = np.random.default_rng(8)
    x, weight, bias = rng.normal(size=(5, 9)), rng.normal(size=(7, 9)), rng.normal(size=7)
    plain, _ = linear.linear_forward(x, weight, bias)
    with use_precision("bfloat16"):
        found, _ = linear.linear_forward(x, weight, bias)
        other, _ = linear.linear_forward(*(each.astype(np.float32) for each in (x, weight, bias)))
    np.testing.assert_array_equal(found, plain)
    assert other.dtype == np.float32 and not np.allclose(other, plain, rtol=1e-5)


def test_one_block_of_one_thread_multiplies_in_float32(backend):
    rng = np.random.default_rng(9)
    a, b = rng.normal(size=(5, 9)).astype(np.float32), rng.normal(size=(9, 7)).astype(np.float32)
    exact, elsewhere = matmul(a, b), []
    with use_precision("bfloat16"):
        coarse = matmul(a, b)
        with pytest.raises(KeyError), in_float32():
            with in_float32():
                np.testing.assert_array_equal(matmul(a, b), exact)
            np.testing.assert_array_equal(matmul(a, b), exact)  # an inner block ends, the outer one goes on
            thread = threading.Thread(target=lambda: elsewhere.append(matmul(a, b)))
            thread.start()
            thread.join()
            raise KeyError
        np.testing.assert_array_equal(matmul(a, b), coarse)
    np.testing.assert_array_equal(elsewhere[0], coarse)
    assert not np.array_equal(coarse, exact)


@pytest.mark.parametrize("name", ["classroom-student", "classroom-teacher"])
def test_the_dense_layer_of_the_masked_word_head_is_not_rounded(backend, name):
    """Forward: step 3's output is that of float32. Backward: with upstream gradients and a decoder whose product is exact
    in bfloat16, so is all that follows."""
    config = preset(name, vocab_size=50)
    params = init_parameters(parameter_shapes(config, "pretraining"), config, np.random.default_rng(10))
    for parameter in (words_name(config), "cls.predictions.dense.weight"):
        if parameter in params:
            params[parameter] = rounded(params[parameter])
    rng = np.random.default_rng(11)
    hidden = rng.normal(size=(13, config.hidden_size)).astype(np.float32)
    dlogits = np.zeros((13, 50), np.float32)
    dlogits[np.arange(13), rng.integers(0, 50, 13)] = rng.choice(np.float32([-2, 0.5, 1, 4]), 13)
    found = {}
    for precision in ("float32", "bfloat16"):
        with use_precision(precision):
            logits, cache = masked_word_forward(params, config, hidden)
            grads = {}
            dhidden, _ = masked_word_backward(dlogits, cache, grads, config)
        head = {key: value for key, value in grads.items() if ".transform." in key}
        found[precision] = logits, {"transformed": cache.transformed, "dhidden": dhidden, **head}
    for key, value in found["float32"][1].items():
        np.testing.assert_array_equal(found["bfloat16"][1][key], value, err_msg=key)
    assert not np.array_equal(found["bfloat16"][0], found["float32"][0])  # the scores are rounded


def test_the_choice_ends_with_its_block_and_has_two_values():
    with use_precision("bfloat16"):
        assert current_precision() == "bfloat16"
    assert current_precision() == "float32"
    with pytest.raises(ValueError, match="precision: found 'float16', expected one of float32, bfloat16"):
        use_precision("float16")


def test_the_settings_of_runs_have_it():
    from minimobilebert.finetuning.settings import usual_settings
    from minimobilebert.pipeline.settings import settings_from_strings

    assert settings_from_strings(1, {}).precision == "float32"
    assert settings_from_strings(1, {"precision": "bfloat16"}).precision == "bfloat16"
    with pytest.raises(ValueError, match="precision: found"):
        settings_from_strings(1, {"precision": "half"})
    assert dataclasses.asdict(usual_settings("sst2", 512, precision="bfloat16"))["precision"] == "bfloat16"
    with pytest.raises(ValueError, match="precision: found"):
        usual_settings("sst2", 512, precision="half")


def test_gradients_of_mobilebert_are_compared():
    """The command of results.md, with one layer of MobileBERT"""
    script = ROOT / "tests" / "gradients_in_bfloat16.py"
    done = subprocess.run(
        [sys.executable, str(script), "--texts", "2", "--tokens", "8", "--layers", "1"], cwd=ROOT, capture_output=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)}, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = dict(line.split("  ", 1) for line in done.stdout.splitlines()[2:])
    assert {f"{a}, {p}" for a in ("gelu", "relu") for p in ("float32", "bfloat16", "backward only in bfloat16")} <= set(
        rows
    )
    smallest = {name: float(row.split()[1]) for name, row in rows.items()}
    assert smallest["relu, float32"] == 1.0 and 0.999 < smallest["gelu, bfloat16"] < 1.0
    assert smallest["relu, bfloat16"] <= smallest["relu, backward only in bfloat16"]
    assert smallest["relu, bfloat16, head too"] < 1.0


def test_blocks_that_overlap_leave_nothing_behind():
    """As two threads may have them"""
    first, second = use_precision("bfloat16"), None
    first.__enter__()
    second = use_precision("bfloat16")
    second.__enter__()
    first.__exit__()
    assert current_precision() == "bfloat16"
    second.__exit__()
    assert current_precision() == "float32"
    with use_precision("bfloat16"), use_precision("float32"):
        assert current_precision() == "float32"
    assert current_precision() == "float32"


@pytest.mark.parametrize("entered", [(0, 1), (1, 0)])
@pytest.mark.parametrize("left", [(0, 1), (1, 0)])
def test_blocks_are_counted_in_the_order_in_which_they_were_chosen(entered, left):
    """Two threads may choose in one order, and enter and leave in others."""
    blocks = [use_precision("bfloat16"), use_precision("bfloat16")]
    for i in entered:
        blocks[i].__enter__()
    blocks[left[0]].__exit__()
    assert current_precision() == "bfloat16"
    blocks[left[1]].__exit__()
    assert current_precision() == "float32"


def test_a_block_can_be_entered_again():
    block = use_precision("bfloat16")
    for _ in range(2):
        with block:
            assert current_precision() == "bfloat16"
            with block:
                assert current_precision() == "bfloat16"
            assert current_precision() == "bfloat16"
        assert current_precision() == "float32"


def test_similarities_are_compared_in_float32(backend):
    """They differ by little, and a rounded product has three digits."""
    rng = np.random.default_rng(12)
    teacher = rng.normal(size=(13, 24)).astype(np.float32)
    student = teacher @ np.linalg.qr(rng.normal(size=(24, 24)))[0].astype(np.float32)
    student += 0.01 * rng.normal(size=student.shape).astype(np.float32)
    found = {}
    for precision in ("float32", "bfloat16"):
        with use_precision(precision):
            loss, cache = similarity_transfer_forward(student, teacher)
            found[precision] = loss, similarity_transfer_backward(1.0, cache)
    assert found["bfloat16"][0] == found["float32"][0]
    np.testing.assert_array_equal(found["bfloat16"][1], found["float32"][1])


def test_a_denormal_start_is_nothing_in_compiled_products():
    """As the instruction has it; that the emulated one does the same is tested in test_same_bits.py."""
    pytest.importorskip("numba", reason="numba is not installed")
    x, weight = np.float32([[0.0, 2.0**-126]]), np.ones((2, 2), np.float32)
    with use_backend("numba"), use_precision("bfloat16"):
        y, _ = linear.linear_forward(x, weight, np.float32([1e-38, 2.0**-126]))
    np.testing.assert_array_equal(y, np.float32([[2.0**-126, 2.0**-125]]))


def test_a_single_number_is_rounded():
    assert rounded(np.float32(1.00390625)).shape == () and rounded(np.float32(3.0)) == 3.0
    assert stochastically_rounded(np.float32(3.0), np.random.default_rng(1)).shape == ()
