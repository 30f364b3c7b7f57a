"""What lesson 10's functions must do."""

import copy

import numpy as np

from minimobilebert.course.shared.comparison import Different
from minimobilebert.course.shared.properties import prop
from minimobilebert.course.shared.trial import reference

SHAPES = {
    "layer.dense.weight": (3, 4),
    "layer.dense.bias": (3,),
    "layer.LayerNorm.weight": (4,),
    "table.weight": (5, 2),
}


# --- 10.1 and 10.4: several updates, and everything that they leave behind


def updates_run(kind, params, updates, settings):
    """kind: "AdamW" or "LAMB"; updates: [(gradients, rate, multipliers, factor)] -> what is left of everything

    settings: those of the optimiser; "excluded": the names for which its `exclude` is true
    """
    from minimobilebert.training import adamw, lamb

    settings = dict(settings)
    if "excluded" in settings:
        settings["exclude"] = settings.pop("excluded").__contains__
    optimiser, same = {"AdamW": adamw.AdamW, "LAMB": lamb.LAMB}[kind](params, **settings), dict(params)
    held = {**optimiser.first, **{f"v {name}": array for name, array in optimiser.second.items()}}
    for update in updates:
        optimiser.step(params, *update)
    now = {**optimiser.first, **{f"v {name}": array for name, array in optimiser.second.items()}}
    in_place = all(params[name] is same[name] for name in same) and all(now[name] is held[name] for name in held)
    return {"params": params, "state": optimiser.state(), "in place": in_place,
            "gradients": [update[0] for update in updates]}  # fmt: skip


KINDS = {"10.1": "AdamW", "10.4": "LAMB"}


def weights(rng, dtype=np.float64):
    return {name: rng.normal(size=shape).astype(dtype) for name, shape in SHAPES.items()}


def gradients_of(rng, size=1.0, dtype=np.float64):
    return {name: (size * rng.normal(size=shape)).astype(dtype) for name, shape in SHAPES.items()}


def settings_of(rng):
    low, high = (float(x) for x in rng.uniform((0.6, 0.9), (0.85, 0.99)))
    return {
        "beta1": low,
        "beta2": high,
        "eps": float(rng.uniform(0.01, 0.1)),
        "weight_decay": float(rng.uniform(0.1, 0.5)),
    }


def compare(t, params, updates, settings, tolerance=1e-10, instead=None):
    """instead: (updates, settings, words): what a likely mistake would make of these two, and how to say so"""
    given = KINDS[t.task.id], params, updates, settings
    right = t.expected(lambda: updates_run(*copy.deepcopy(given)))
    wrong = t.expected(lambda: updates_run(*copy.deepcopy((*given[:2], *instead[:2])))["params"]) if instead else None
    returned = t.run(updates_run, *given)
    t.require(
        returned["in place"], "a parameter or a moment was replaced by a new array: they must be changed in place"
    )
    t.unchanged(["gradients"], [[update[0] for update in updates]], [returned["gradients"]])
    part = "state"
    try:
        for part in ("state", "params"):
            t.same(part, returned[part], right[part], tolerance)
    except Different as different:
        if instead and is_same(returned["params"], wrong, tolerance):
            different.looks_like, different.certainty = instead[2], 2
        elif part == "params" and different.certainty < 2:
            different.looks_like = f"{different.looks_like}; the moments are right: look at the lines after them"
        raise


def is_same(found, other, tolerance):
    return found.keys() == other.keys() and all(
        np.shape(found[name]) == other[name].shape and np.abs(found[name] - other[name]).max() <= tolerance
        for name in other
    )  # fmt: skip


for TASK in KINDS:

    @prop(TASK, weight=4, essential=True)
    def updates(t):
        """three updates give the right parameters and moments"""
        for _ in range(2):
            steps = [(gradients_of(t.rng), float(t.rng.uniform(0.01, 0.1)), None, 1.0) for _ in range(3)]
            params, settings = weights(t.rng), settings_of(t.rng)
            for count, words in ((1, "the first update"), (3, "three updates, of which the first is right")):
                with t.case(words):
                    compare(t, params, steps[:count], settings)

    @prop(TASK, weight=1)
    def usual_settings(t):
        """the usual settings, with gradients from very small to large"""
        steps = [(gradients_of(t.rng, size), 0.01, None, 1.0) for size in (1e-7, 1e-4, 10.0)]
        compare(t, weights(t.rng), steps, {})

    @prop(TASK, weight=1)
    def nothing_from_the_loss(t):
        """with gradients of 0 only the decay moves a weight, and biases and norm weights stay"""
        steps = [({name: np.zeros(shape) for name, shape in SHAPES.items()}, 0.1, None, 1.0) for _ in range(2)]
        compare(t, weights(t.rng), steps, {"weight_decay": 0.3})

    @prop(TASK, weight=1)
    def multipliers(t):
        """every parameter has its own rate, and one with rate 0 stays as it is, with its moments"""
        several = [dict(zip(SHAPES, (float(x) for x in t.rng.uniform(0.1, 3.0, 4)), strict=True)) for _ in range(3)]
        several[0]["layer.dense.weight"] = several[1]["table.weight"] = 0.0
        steps = [(gradients_of(t.rng), 0.05, more, 1.0) for more in several] + [(gradients_of(t.rng), 0.0, None, 1.0)]
        compare(t, weights(t.rng), steps, settings_of(t.rng))

    @prop(TASK, weight=1)
    def missing(t):
        """a parameter without a gradient is left alone, and counts its own updates"""
        several = [gradients_of(t.rng) for _ in range(3)]
        del several[0]["table.weight"], several[1]["layer.dense.bias"]
        compare(t, weights(t.rng), [(one, 0.05, None, 1.0) for one in several], settings_of(t.rng))

    @prop(TASK, weight=1)
    def clipped(t):
        """every gradient is multiplied by `factor` first, and left as it is"""
        steps = [(gradients_of(t.rng), 0.05, None, float(t.rng.uniform(0.1, 0.6))) for _ in range(2)]
        params, settings = weights(t.rng), settings_of(t.rng)
        without = [(*step[:3], 1.0) for step in steps]
        compare(
            t, params, steps, settings, instead=(without, settings, "`factor` is not used: it scales each gradient")
        )

    @prop(TASK, weight=1)
    def other_exclusions(t):
        """`exclude` says which parameters are excluded, whatever their names are"""
        steps = [(gradients_of(t.rng), 0.05, None, 1.0) for _ in range(2)]
        settings = settings_of(t.rng)
        for excluded in (["table.weight"], ["layer.dense.weight", "layer.dense.bias"], []):
            with t.case(f"exclude is true for {excluded}"):
                text = "biases and norm weights are excluded, whatever self.exclude(name) says"
                compare(t, weights(t.rng), steps, {**settings, "excluded": excluded}, instead=(steps, settings, text))

    @prop(TASK, weight=1)
    def single(t):
        """float32 parameters and moments stay float32"""
        steps = [(gradients_of(t.rng, dtype=np.float32), 0.05, None, 0.37) for _ in range(2)]
        compare(t, weights(t.rng, np.float32), steps, settings_of(t.rng), 2e-5)

    if TASK == "10.4":

        @prop(TASK, weight=1)
        def no_size(t):
            """a weight of all zeros has ratio 1, also where its gradient is zero too"""
            params = weights(t.rng)
            params["table.weight"][...] = params["layer.dense.weight"][...] = 0.0
            steps = [gradients_of(t.rng) for _ in range(2)]
            for one in steps:
                one["table.weight"][...] = 0.0
            compare(t, params, [(one, 0.05, None, 1.0) for one in steps], settings_of(t.rng))


# --- 10.2


def clip(t, gradients, max_norm, tolerance=1e-10):
    right = t.expected(lambda: list(reference(t.task.function)(gradients, max_norm)))
    result, after = t.call_keeping(gradients, max_norm)
    t.unchanged(["gradients"], [gradients], [after[0]])
    t.require(isinstance(result, (tuple, list)) and len(result) == 2, "expected two things: norm, factor")
    numbers = (int, float, np.floating)  # a factor of 1 is as good as one of 1.0
    t.require(all(isinstance(x, numbers) for x in result), "norm and factor are not both numbers")
    mistakes = {"norm": {"the sum of the squares without its square root": right[0] ** 2}}
    for name, found, expected in zip(("norm", "factor"), result, right, strict=True):
        t.equal(name, float(found), expected, tolerance, mistakes=mistakes.get(name))


@prop("10.2", weight=4, essential=True)
def above(t):
    """one norm over all parameters; the factor brings it to max_norm"""
    for max_norm in (0.1, 1.0, 2.5):
        clip(t, gradients_of(t.rng, 2.0), max_norm)


@prop("10.2", weight=2, essential=True)
def below(t):
    """a smaller norm is left: the factor is exactly 1"""
    for gradients in (gradients_of(t.rng, 0.01), {"a": np.array([3.0, 4.0])}, {"a": np.zeros(3)}, {}):
        clip(t, gradients, 5.0)


@prop("10.2", weight=1)
def not_finite(t):
    """a norm that is infinite or not a number has factor 1"""
    for wrong in (np.inf, -np.inf, np.nan):
        gradients = gradients_of(t.rng)
        gradients["layer.dense.weight"][1, 2] = wrong
        with t.case(f"one number is {wrong}"):
            clip(t, gradients, 1.0)


@prop("10.2", weight=1)
def single_precision(t):
    """float32 gradients"""
    clip(t, gradients_of(t.rng, 3.0, np.float32), 1.0, 2e-5)


# --- 10.3


def rates(steps, peak, warmup_steps, total_steps, *end_fraction):
    from minimobilebert.training.schedules import WarmupLinearDecay

    schedule = WarmupLinearDecay(peak, warmup_steps, total_steps, *end_fraction)
    return [schedule(step) for step in steps]


def mistaken_rates(steps, peak, warmup_steps, total_steps, end_fraction):
    """{what it looks like: the rates}; from the right schedule with other arguments"""

    def after_warmup(*others, since=0):
        right = rates(steps, peak, warmup_steps, total_steps, end_fraction)
        wrong = rates([max(step - since, 0) for step in steps], peak, 0, *others)
        return [a if step < warmup_steps else b for step, a, b in zip(steps, right, wrong, strict=True)]

    return {
        "the decay counts from the end of the warm-up; it has to count from step 0":
            after_warmup(total_steps - warmup_steps, end_fraction, since=warmup_steps),
        "the end is a share of the peak, not a rate": after_warmup(total_steps, end_fraction / peak),
        "it decays to 0, not to the end": after_warmup(total_steps, 0.0),
        "the end is mixed in, not added: it has no part in the rate at step 0":
            [rate + (step >= warmup_steps) * peak * end_fraction
             for step, rate in zip(steps, after_warmup(total_steps, 0.0), strict=True)],
        "at step warmup_steps the warm-up is over: wrong at that step alone":
            [peak if step == warmup_steps else rate
             for step, rate in zip(steps, after_warmup(total_steps, end_fraction), strict=True)],
    }  # fmt: skip


def compare_rates(t, steps, arguments):
    right = np.array(t.expected(lambda: rates(steps, *arguments)))
    returned = t.run(rates, steps, *arguments)
    t.require(all(isinstance(rate, (int, float)) for rate in returned), "a rate is not a number", "rate")
    mistakes = t.expected(lambda: mistaken_rates(steps, *arguments) if len(arguments) == 4 else {})
    t.equal("rate", np.array(returned, np.float64), right, mistakes=mistakes)


@prop("10.3", weight=4, essential=True)
def every_step(t):
    """every step of a run, entry by entry"""
    for _ in range(2):
        total = int(t.rng.integers(30, 60))
        arguments = (
            float(t.rng.uniform(1e-4, 1.0)),
            int(t.rng.integers(5, 20)),
            total,
            float(t.rng.uniform(0.05, 0.3)),
        )
        compare_rates(t, list(range(total + 1)), arguments)


@prop("10.3", weight=1)
def ends(t):
    """the first update, the end of the warm-up, the last update, and what comes after it"""
    total, warmup = int(t.rng.integers(1000, 5000)), int(t.rng.integers(10, 500))
    steps = [0, 1, warmup - 1, warmup, warmup + 1, total - 1, total, total + 1, 2 * total]
    for step in steps:
        with t.case(f"step {step}, warm-up {warmup}, total {total}"):
            compare_rates(t, [step], (0.0015, warmup, total))


@prop("10.3", weight=1)
def no_warmup(t):
    """a run without warm-up starts at the peak"""
    with t.case("warmup_steps 0, total_steps 10"):
        compare_rates(t, list(range(12)), (float(t.rng.uniform(0.1, 1.0)), 0, 10))
