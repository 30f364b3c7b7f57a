"""A toy for the training loop: linear regression on batches made from (seed, step), with one frozen parameter."""

import time

import numpy as np

from minimobilebert.training.adamw import AdamW
from minimobilebert.training.loop import Records, UpdateRule, train
from minimobilebert.training.schedules import WarmupLinearDecay


def toy(folder, *, stop_after=None, poison=None, pause=0.0, configuration=None, checkpoint_seconds=20.0):
    """Train 40 steps in `folder` -> params, Finished.

    stop_after: raise RuntimeError at this step; poison: make the loss NaN at this step; pause: seconds a step
    """
    seed, total_steps = 5, 40
    params = {"w.weight": np.ones((3, 2)), "frozen.weight": np.ones(3)}

    def batches(step):
        return np.random.default_rng([seed, step]).normal(size=(8, 3))

    def step_function(params, x, step, rng, shares):
        if step == stop_after:
            raise RuntimeError("stopped by the test")
        time.sleep(pause)
        error = x @ params["w.weight"] - np.array([[1.0, -2.0]]) + rng.normal(size=2)
        if step == poison:
            error = error * np.nan
        return {"loss": float((error**2).mean())}, {"w.weight": x.T @ error, "frozen.weight": np.ones(3)}

    finished = train(
        "toy", step_function, params, batches, total_steps=total_steps, seed=seed,
        update_rule=UpdateRule(
            AdamW, WarmupLinearDecay(0.1, 4, total_steps),
            multipliers=lambda step: {"w.weight": 1.0, "frozen.weight": 0.0},
        ),
        records=Records(folder, configuration or {"a": {"b": 1}}, 3, checkpoint_seconds),
    )  # fmt: skip
    return params, finished
