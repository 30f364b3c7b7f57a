"""AdamW against PyTorch's, LAMB against its formula step by step, and the whole progressive schedule of the paper."""

import numpy as np
import pytest

from minimobilebert.training.adamw import AdamW, is_bias_or_norm
from minimobilebert.training.lamb import LAMB
from minimobilebert.training.schedules import WarmupLinearDecay, progressive_multiplier

SHAPES = {
    "encoder.layer.0.attention.self.query.weight": (6, 5), "encoder.layer.0.attention.self.query.bias": (6,),
    "embeddings.word_embeddings.weight": (11, 4), "embeddings.LayerNorm.weight": (4,),
    "embeddings.LayerNorm.bias": (4,), "cls.predictions.bias": (11,), "cls.predictions.dense.weight": (2, 11),
}  # fmt: skip
DECAYED = {
    "encoder.layer.0.attention.self.query.weight", "embeddings.word_embeddings.weight", "cls.predictions.dense.weight",
}  # fmt: skip


def gradients_of(rng, shapes=SHAPES):
    """Gradients of very different sizes, some exactly 0: eps, both square roots and bias correction all matter."""
    gradients = {}
    for name, shape in shapes.items():
        gradient = rng.normal(size=shape) * 10.0 ** rng.integers(-9, 3, shape)
        gradients[name] = np.where(rng.random(shape) < 0.1, 0.0, gradient)
    return gradients


def test_which_parameters_are_not_decayed():
    assert {name for name in SHAPES if not is_bias_or_norm(name)} == DECAYED


# ---- AdamW

# Each step moves a weight by about the learning rate, at most 0.02, and rounds it by 1e-16 a few times. What grows is
# the rounding of v in a quotient of nearly 1: 100 steps of 1e-15 are far below 1e-10, and any other formula far above.
TORCH_TOLERANCE = 1e-10


@pytest.mark.parametrize(
    "settings",
    [{}, {"weight_decay": 0.3}, {"weight_decay": 0.0}, {"beta1": 0.7, "beta2": 0.98, "eps": 1e-3}],
    ids=["defaults", "decay", "no-decay", "betas"],
)
def test_adamw_is_torchs_for_100_steps(backend, settings):
    """Two groups, a learning rate that changes, and one parameter whose gradient is missing in every third step."""
    torch = pytest.importorskip("torch", reason="needs the extra compare: make setup EXTRAS=compare")
    rng = np.random.default_rng(1)
    params = {name: rng.normal(size=shape) for name, shape in SHAPES.items()}
    theirs = {name: torch.tensor(w.copy(), requires_grad=True) for name, w in params.items()}
    ours = AdamW(params, **settings)
    decay = settings.get("weight_decay", 0.01)
    reference = torch.optim.AdamW(
        [
            {"params": [w for name, w in theirs.items() if name in DECAYED], "weight_decay": decay},
            {"params": [w for name, w in theirs.items() if name not in DECAYED], "weight_decay": 0.0},
        ],
        betas=(settings.get("beta1", 0.9), settings.get("beta2", 0.999)), eps=settings.get("eps", 1e-8),
    )  # fmt: skip
    schedule = WarmupLinearDecay(0.02, 10, 100)
    sometimes = "cls.predictions.dense.weight"
    for step in range(1, 101):
        gradients = gradients_of(rng)
        if step % 3 == 0:
            del gradients[sometimes]
        for name, w in theirs.items():
            w.grad = torch.tensor(gradients[name]) if name in gradients else None
        for group in reference.param_groups:
            group["lr"] = schedule(step)
        reference.step()
        ours.step(params, gradients, schedule(step))
        for name, w in theirs.items():
            np.testing.assert_allclose(params[name], w.detach().numpy(), rtol=0, atol=TORCH_TOLERANCE, err_msg=name)


@pytest.mark.parametrize("size", [1e-4, 1.0, 1e4])
def test_bias_correction_makes_the_first_step_the_learning_rate(backend, size):
    """m / (1 - b1) = g and v / (1 - b2) = g^2 after one update, so every weight moves by lr against its gradient."""
    w, sign = np.full((2, 3), 5.0), np.array([[1.0, -1.0, 1.0], [-1.0, 1.0, 1.0]])
    params = {"w.weight": w.copy()}
    AdamW(params, weight_decay=0.0).step(params, {"w.weight": size * sign}, 0.25)
    np.testing.assert_allclose(params["w.weight"], w - 0.25 * sign, rtol=0, atol=0.25 * 1e-8 / size + 1e-14)


# ---- LAMB


def lamb_oracle(w, m, v, g, lr, excluded, decay=0.01):
    """One update of the released code, written without the package -> w, m, v"""
    m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
    u = m / (v**0.5 + 1e-6) + (0.0 if excluded else decay * w)
    w_norm, u_norm = (w**2).sum() ** 0.5, (u**2).sum() ** 0.5
    ratio = w_norm / u_norm if not excluded and w_norm > 0 and u_norm > 0 else 1.0
    return w - lr * ratio * u, m, v


def test_lamb_is_its_formula_after_every_step(backend):
    """Multipliers, both moments, and the two cases without a ratio: a weight of all zeros, a gradient of all zeros."""
    rng = np.random.default_rng(2)
    shapes = SHAPES | {"zero.weight": (3, 2), "still.weight": (2, 2), "empty.weight": (0, 4)}
    params = {name: rng.normal(size=shape) * 10.0 ** rng.integers(-2, 2) for name, shape in shapes.items()}
    params["zero.weight"][...] = 0.0
    params["still.weight"][...] = 0.0  # weight, gradient, and so u: all 0, and 0 / 0 must not appear
    states = {name: (w.copy(), np.zeros_like(w), np.zeros_like(w)) for name, w in params.items()}
    multipliers = {name: 10.0 ** rng.uniform(-1, 1) for name in shapes}
    optimizer = LAMB(params)
    for step in range(50):
        gradients, lr = gradients_of(rng, shapes), 0.02 / (1 + step)
        gradients["still.weight"][...] = 0.0
        if step == 0:  # only decay is left of u
            gradients["embeddings.word_embeddings.weight"][...] = 0.0
        optimizer.step(params, gradients, lr, multipliers)
        for name, state in states.items():
            excluded = "LayerNorm" in name or "bias" in name
            states[name] = w, m, v = lamb_oracle(*state, gradients[name], lr * multipliers[name], excluded)
            for found, expected in ((params, w), (optimizer.first, m), (optimizer.second, v)):
                # A few roundings of 1e-16 a step; v's exponents reach down to 1e-21, so a relative bound.
                np.testing.assert_allclose(found[name], expected, rtol=1e-11, atol=1e-14, err_msg=f"{name} {step}")
    assert not params["still.weight"].any() and params["zero.weight"].all()


def test_lamb_has_no_bias_correction_and_a_trust_ratio():
    """First step by hand, g = 1 everywhere: m = 0.1, sqrt(v) = sqrt(0.001), so u = 3.162, not 1 as in Adam."""
    params = {"w.weight": np.full((2, 2), 3.0), "w.bias": np.full(4, 3.0)}
    LAMB(params, weight_decay=0.0).step(params, {name: np.ones_like(w) for name, w in params.items()}, 0.1)
    np.testing.assert_allclose(params["w.weight"], 3.0 - 0.1 * 3.0, rtol=1e-14)  # |w| lr, whatever u is
    np.testing.assert_allclose(params["w.bias"], 3.0 - 0.1 * 0.1 / (0.001**0.5 + 1e-6), rtol=1e-14)


@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_lambs_step_does_not_depend_on_the_gradients_scale(scale):
    """The reason for the ratio. What remains is eps = 1e-6 beside sqrt(v) of about 0.03 x the gradient."""
    rng = np.random.default_rng(3)
    first, gradient = rng.normal(size=(8, 8)), rng.uniform(0.5, 2.0, (8, 8))
    results = []
    for factor in (1.0, scale):
        params = {"w.weight": first.copy()}
        LAMB(params, weight_decay=0.0).step(params, {"w.weight": gradient * factor}, 0.1)
        results.append(params["w.weight"] - first)
        assert np.linalg.norm(results[-1]) == pytest.approx(0.1 * np.linalg.norm(first), rel=1e-12)
    np.testing.assert_allclose(*results, rtol=1e-6 / (0.03 * 0.5 * min(scale, 1.0)))


# ---- the progressive schedule of the released run: 24 layers, 240,000 steps of knowledge transfer

LAYERS, STEPS, BASE = 24, 240_000, 0.0015
N = STEPS // LAYERS


@pytest.fixture(scope="module")
def found():
    """progressive_multiplier at every step, the last one included, and every layer [STEPS + 1, LAYERS]."""
    rows = (progressive_multiplier(step, layer, N) for step in range(STEPS + 1) for layer in range(LAYERS))
    return np.fromiter(rows, np.float64, (STEPS + 1) * LAYERS).reshape(STEPS + 1, LAYERS)


@pytest.fixture(scope="module")
def background():
    """min(0.9 + 0.1 sqrt(1 - tau), 10 tau) with tau = (step mod n) / n [STEPS + 1]"""
    tau = np.arange(STEPS + 1) % N / N
    return np.minimum(0.9 + 0.1 * np.sqrt(1.0 - tau), 10.0 * tau)


def phases_of(step):
    """0 for layers not yet begun, 1 for the current one, 0.1 for finished ones; step [S] -> [S, LAYERS]"""
    step, layer = step[:, None], np.arange(LAYERS)
    return np.select([step <= layer * N, step <= (layer + 1) * N], [0.0, 1.0], 0.1)


def test_every_layer_at_every_step(found, background):
    expected = 3.0 * background[:, None] * phases_of(np.arange(STEPS + 1))
    # The same few operations in another order: a last digit or two of a number of at most 3.
    np.testing.assert_allclose(found, expected, rtol=1e-15, atol=0)


def test_one_layer_learns_and_the_finished_ones_at_a_tenth(found, background):
    """At step k n + s with 0 < s < n layer k is current and layers 0 to k - 1 are finished."""
    step = np.arange(STEPS)[np.arange(STEPS) % N != 0]
    finished = step // N
    rows = found[step]
    assert ((rows > 0).sum(axis=1) == finished + 1).all(), "every layer after the current one waits"
    current = rows[np.arange(len(step)), finished]
    np.testing.assert_array_equal(rows.argmax(axis=1), finished)
    np.testing.assert_allclose(current, 3.0 * background[step], rtol=1e-15)
    # A sum of at most 24 numbers: 24 roundings.
    np.testing.assert_allclose(rows.sum(axis=1), 3.0 * background[step] * (1.0 + 0.1 * finished), rtol=24 * 1.2e-16)
    done = np.arange(LAYERS) < finished[:, None]
    np.testing.assert_allclose(rows[done], np.broadcast_to(0.1 * current[:, None], rows.shape)[done], rtol=4e-16)


def test_nothing_moves_where_a_phase_begins(found):
    """tau = 0 at step 0 and at every multiple of n, the very last step included; nowhere else."""
    still = ~found.any(axis=1)
    np.testing.assert_array_equal(np.flatnonzero(still), np.arange(0, STEPS + 1, N))


def test_peak_and_end_of_a_phase(found):
    """With the base rate 0.0015.

    The warm-up 10 tau meets 0.9 + 0.1 sqrt(1 - tau) at tau = 0.0995, so a phase peaks at step 995 or next to it, with
    0.0045 (0.9 + 0.1 sqrt(0.9005)) = 0.004477. From there the rate falls, to 0.0045 (0.9 + 0.1 / sqrt(n)) = 0.0040545
    at the phase's last step. Finished layers go through the same at a tenth.
    """
    rates = BASE * found[:STEPS]
    for layer in range(LAYERS):
        phase = rates[layer * N : (layer + 1) * N, layer]
        peak = phase.argmax()
        assert 994 <= peak <= 996
        assert 0.0045 * (0.9 + 0.1 * (1 - 996 / N) ** 0.5) <= phase[peak] <= 0.0045 * (0.9 + 0.1 * (1 - 994 / N) ** 0.5)
        assert phase[peak] == pytest.approx(0.00448, abs=5e-6)
        assert phase[-1] == pytest.approx(0.0045 * (0.9 + 0.1 / N**0.5), rel=1e-12)
        assert phase[-1] == pytest.approx(0.00405, abs=5e-6)
        assert (np.diff(phase[: peak + 1]) > 0).all() and (np.diff(phase[peak:]) < 0).all()
        np.testing.assert_allclose(np.diff(phase[:995]), 0.0045 * 10 / N, rtol=1e-9)  # the straight warm-up
        if layer:
            softened = rates[layer * N : (layer + 1) * N, 0]
            np.testing.assert_allclose(softened, 0.1 * phase, rtol=4e-16)
            assert softened.max() == pytest.approx(0.00045, rel=0.006)
            assert softened[1000:].min() > 0.000405


def test_a_whole_phase_adds_up_to_its_integral(found):
    """With c the tau where warm-up and plateau meet: sum / n = 3 (5 c^2 + 0.9 (1 - c) + (0.2 / 3) (1 - c)^1.5).

    c solves 10 c = 0.9 + 0.1 sqrt(1 - c). A Riemann sum of a function between 0 and 3 that rises once and falls once
    is off by at most 2 * 3 / n.
    """
    c = 0.1
    for _ in range(50):  # a contraction with factor 0.005
        c = 0.09 + 0.01 * (1 - c) ** 0.5
    integral = 3 * (5 * c**2 + 0.9 * (1 - c) + 0.2 / 3 * (1 - c) ** 1.5)
    for layer in range(LAYERS):
        total = found[layer * N : (layer + 1) * N, layer].sum()
        assert total / N == pytest.approx(integral, abs=6 / N)
        # All it ever gets: one whole phase, and a tenth of each one after it.
        assert found[:, layer].sum() == pytest.approx(total * (1 + 0.1 * (LAYERS - 1 - layer)), rel=1e-12)


@pytest.mark.parametrize(("steps_per_layer", "layers"), [(1, 3), (7, 5), (13, 2)])
def test_short_phases(steps_per_layer, layers):
    """Also where n does not divide anything nicely, and n = 1, where every step begins a phase and nothing moves."""
    for step in range(2 * layers * steps_per_layer):
        tau = step % steps_per_layer / steps_per_layer
        for layer in range(layers):
            p = 0.0 if step <= layer * steps_per_layer else 1.0 if step <= (layer + 1) * steps_per_layer else 0.1
            expected = 3 * p * min(0.9 + 0.1 * (1 - tau) ** 0.5, 10 * tau)
            assert progressive_multiplier(step, layer, steps_per_layer) == pytest.approx(expected, rel=1e-15)
