"""The small checker against operations whose gradients are known, and the bank's claims about a check with ones."""

import numpy as np

from minimobilebert.course import weak_checks
from minimobilebert.course.manifest import load
from minimobilebert.gradcheck_cases import CASES
from minimobilebert.gradcheck_small import central_difference, direction_error
from minimobilebert.kernels.backend import use_backend


def test_a_central_difference_of_a_cubic_is_off_by_the_square_of_its_step():
    x = np.array([[0.3, -1.2, 2.0]])
    found = central_difference(lambda x: float((x**3).sum()), x, 0.1)
    np.testing.assert_allclose(found, 3.0 * x**2 + 0.01, rtol=1e-12)


def test_the_small_checker_agrees_with_the_projects_own_backward_passes():
    with use_backend("numpy"):
        for name in ("linear_backward", "layernorm_backward", "softmax_backward", "trigram_backward"):
            for seed in (1, 2):
                case = CASES[name](np.random.default_rng(seed))
                found = direction_error(
                    case.forward, case.backward, tuple(case.inputs.values()), np.random.default_rng([seed, 1])
                )
                # 1e-9 of differences, over a slope that is small by chance in one direction of a hundred
                assert found < 1e-6, (name, seed, found)


def test_what_is_said_to_pass_a_check_with_ones_passes_it_and_fails_a_random_one():
    ones, random = (weak_checks.run(load(), kind) for kind in ("ones", "random"))
    claimed = [(mutant, a, b) for (mutant, a), (_, b) in zip(ones, random, strict=True) if "ones" in mutant.passes]
    assert len(claimed) >= 10
    assert [f"{mutant.task} {mutant.name}" for mutant, a, b in claimed if not a or b] == []
