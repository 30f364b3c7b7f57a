"""The mutants that pass a gradient check, by its choice of upstream gradient: the table of lesson 01.

    for row in run(course, "ones"): ...      dy = 1 everywhere, all entries compared: a common check
    for row in run(course, "random"): ...    the same check with a random dy

Both compare values only. A backward that modifies its input or takes minutes passes both; other properties detect it.
tests/test_weak_checks.py compares the field `passes = ["ones"]` in mutants.toml with this.
"""

import copy

import numpy as np

from ...gradcheck.small import central_difference
from ...kernels.runtime.backend import use_backend
from ..sandbox.wire import Seeded
from ..shared.bundles import BACKWARDS
from ..shared.properties import load_properties
from ..shared.trial import reference
from .mutants import load_mutants

COTANGENTS = {
    "ones": lambda rng, shape: np.ones(shape),
    "random": lambda rng, shape: rng.standard_normal(shape),
}
DRAWS = 3
TOLERANCE = 1e-6  # relative to the largest entry; the error of the differences is about 1e-9


def run(course, cotangent, lessons=None):
    """-> list of (Mutant, True if it passes), for the tasks with `backward_properties`"""
    load_properties(course)  # fills BACKWARDS
    ids = {each.partition(":")[0] for each in BACKWARDS}
    tasks = [task for task in course.tasks if task.id in ids and (lessons is None or task.lesson in lessons)]
    rows = []
    for mutant in load_mutants(course, tasks):
        is_first = mutant.function == course.task(mutant.task).name
        case = BACKWARDS.get(mutant.task if is_first else f"{mutant.task}:{mutant.function}")
        if mutant.refused or case is None:
            continue  # a rule, and no check, is against it; or it is the mutant of a forward
        scope = {}
        exec(compile(mutant.source, f"<mutant {mutant.name}>", "exec"), scope)
        rows.append((mutant, lets_through(case, scope[mutant.function], COTANGENTS[cotangent])))
    return rows


def lets_through(case, function, cotangent):
    """True if the gradients of `function` agree with central differences of the reference for all draws"""
    with use_backend("numpy"), np.errstate(all="ignore"):
        return all(_agrees(case, function, cotangent, np.random.default_rng(seed)) for seed in range(DRAWS))


def _agrees(case, function, cotangent, rng):
    args = case.draw(rng)

    def forward(args):
        live = {key: np.random.default_rng(v.seed) if isinstance(v, Seeded) else v for key, v in args.items()}
        *ys, cache = reference(case.forward)(**live)
        return (ys[0] if case.outputs > 1 and len(ys) == 1 else ys[: case.outputs]), cache

    ys, cache = forward(args)
    dys = [cotangent(rng, np.shape(y)) for y in ys]
    dys = [dy if np.ndim(dy) else float(dy) for dy in dys]
    given = case.arguments(dys[0] if case.outputs == 1 else tuple(dys), cache, args)
    try:
        found = function(*copy.deepcopy(given))
    except Exception:
        return False
    for key, gradient in zip(case.wrt, found if isinstance(found, tuple) else (found,), strict=False):
        if args[key] is None:
            continue

        def loss(x, key=key):
            return float(sum(np.sum(dy * y) for dy, y in zip(dys, forward({**args, key: x})[0], strict=True)))

        right = central_difference(loss, args[key])
        if np.shape(gradient) != right.shape:
            return False
        largest = max(np.abs(right).max(initial=0.0), np.abs(gradient).max(initial=0.0))
        # If the gradient is 0, the differences are only rounding errors: about 1e-16 / 1e-5.
        if not np.abs(gradient - right).max(initial=0.0) <= TOLERANCE * max(largest, 1e-3):
            return False
    return True
