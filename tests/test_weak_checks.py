"""The small checker against operations whose gradients are known, and the bank's claims about a check with ones."""

import numpy as np

from minimobilebert.course.shared.manifest import load
from minimobilebert.course.teacher import weak_checks
from minimobilebert.gradcheck.small import central_difference, direction_error
from minimobilebert.kernels.runtime.backend import use_backend
from minimobilebert.ops import layernorm, nonorm, softmax


def test_a_central_difference_of_a_cubic_is_off_by_the_square_of_its_step():
    x = np.array([[0.3, -1.2, 2.0]])
    found = central_difference(lambda x: float((x**3).sum()), x, 0.1)
    np.testing.assert_allclose(found, 3.0 * x**2 + 0.01, rtol=1e-12)


def test_the_small_checker_agrees_with_the_projects_own_backward_passes():
    x, weight, bias = (np.random.default_rng(1).normal(size=shape) for shape in ((3, 5), 5, 5))
    with use_backend("numpy"):
        for forward, backward, inputs in (
            (layernorm.layernorm_forward, layernorm.layernorm_backward, (x, weight, bias)),
            (nonorm.nonorm_forward, nonorm.nonorm_backward, (x, weight, bias)),
            (softmax.softmax_forward, softmax.softmax_backward, (x,)),
        ):
            errors = [direction_error(forward, backward, inputs, np.random.default_rng([i, 2])) for i in range(5)]
            assert np.median(errors) < 1e-7  # 1e-10 of a difference over the slope along one direction
            wrong = [direction_error(forward, lambda dy, cache, b=backward: _half(b(dy, cache)), inputs,
                                     np.random.default_rng([i, 2])) for i in range(5)]  # fmt: skip
            np.testing.assert_allclose(wrong, 0.5, rtol=1e-6)


def _half(gradients):
    return tuple(0.5 * g for g in gradients) if isinstance(gradients, tuple) else 0.5 * gradients


def test_what_is_said_to_pass_a_check_with_ones_passes_it_and_fails_a_random_one():
    ones, random = (weak_checks.run(load(), kind) for kind in ("ones", "random"))
    claimed = [(mutant, a, b) for (mutant, a), (_, b) in zip(ones, random, strict=True) if "ones" in mutant.passes]
    assert len(claimed) >= 10
    assert [f"{mutant.task} {mutant.name}" for mutant, a, b in claimed if not a or b] == []
