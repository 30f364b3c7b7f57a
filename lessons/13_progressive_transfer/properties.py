"""What lesson 13's functions must do."""

import copy

import numpy as np

from minimobilebert.course.shared.comparison import Different
from minimobilebert.course.shared.properties import prop
from minimobilebert.course.shared.trial import reference
from minimobilebert.distillation.layer_transfer import TransferSettings
from minimobilebert.model.encoder import EncoderOutput

# --- 13.1


def table(steps, layers, steps_per_layer):
    """[step][layer]"""
    from minimobilebert.training.schedules import progressive_multiplier

    return [[progressive_multiplier(step, layer, steps_per_layer) for layer in range(layers)] for step in steps]


def compare(t, steps, layers, steps_per_layer):
    steps = [int(step) for step in steps]
    right = np.array(t.expected(lambda: table(steps, layers, steps_per_layer)))
    found = t.run(table, steps, layers, steps_per_layer)
    flat = [number for row in found for number in row]
    t.require(all(isinstance(number, (int, float)) for number in flat), "a multiplier is not a number", "multiplier")
    t.equal("multiplier", np.array(found, np.float64), right)


@prop("13.1", weight=4, essential=True)
def every_step(t):
    """every step of four layers, the released code's numbers: rows are steps, columns layers"""
    for _ in range(2):
        steps_per_layer = int(t.rng.integers(11, 40))
        compare(t, range(4 * steps_per_layer + 1), 4, steps_per_layer)


@prop("13.1", weight=1)
def borders(t):
    """the last update of a stage, its border, and the first of the next one"""
    steps_per_layer = int(t.rng.integers(100, 1000))
    near = [turn * steps_per_layer + by for turn in range(4) for by in (-1, 0, 1) if turn * steps_per_layer + by >= 0]
    compare(t, near, 4, steps_per_layer)


@prop("13.1", weight=1)
def released_run(t):
    """24 layers and 10,000 steps each, as in the released recipe"""
    compare(t, sorted(t.rng.integers(0, 240_001, 12)), 24, 10_000)


@prop("13.1", weight=1)
def short_stages(t):
    """stages of one to three steps"""
    for steps_per_layer in (1, 2, 3):
        with t.case(f"{steps_per_layer} steps each"):
            compare(t, range(6 * steps_per_layer), 5, steps_per_layer)


# --- 13.2

FOLDER = "minimobilebert/distillation"
FEATURE_LOSSES = {
    "paper": f"{FOLDER}/feature_map_transfer.py:feature_map_transfer_forward",
    "released": f"{FOLDER}/normalized_feature_map_transfer.py:normalized_feature_map_transfer_forward",
}


def model_output(rng, layers, mask, heads, features, dtype=np.float64):
    """What an encoder gives, every layer at a level and a size of its own"""
    batch, tokens = mask.shape
    hidden = [(layer - 1.0) + (1.0 + layer) * rng.normal(size=(batch, tokens, features)) for layer in range(layers + 1)]
    scores = [(1.0 + layer) * rng.normal(size=(batch, heads, tokens, tokens)) for layer in range(layers)]
    maps = [np.exp(s) / np.exp(s).sum(axis=-1, keepdims=True) for s in scores]
    return EncoderOutput(*([part.astype(dtype) for part in parts] for parts in (hidden, scores, maps)))


def outputs(rng, layers=3, dtype=np.float64):
    mask = np.arange(4) < np.array([4, 2])[:, None]
    return (*(model_output(rng, layers, mask, 3, 5, dtype) for _ in range(2)), mask)


def settings_of(rng, feature_loss):
    return TransferSettings(feature_loss, *(float(x) for x in rng.uniform(0.5, 2.0, 2)))


def losses_and_gradients(result):
    """The same as plain dicts, so that a message names the layer. Gradients first: a wrong key says more than a sum"""
    values, gradients = result
    return {"hidden_states": gradients.hidden_states, "scores": gradients.scores, "losses": values}


def cut_to(output, layers):
    """What a model gives that stopped after its first `layers` layers"""
    return EncoderOutput(
        output.hidden_states[: layers + 1], output.attention_scores[:layers], output.attention_maps[:layers]
    )


def neighbours(student, teacher, mask, layers, settings, num_layers):
    """{what was taken for a layer's output: the feature loss}, for the entries beside the right ones"""
    forward = reference(FEATURE_LOSSES[settings.feature_loss])

    def of_entries(by, teachers_by):
        pairs = [(layer + by, layer + teachers_by) for layer in layers]
        if any(max(pair) >= len(student.hidden_states) or min(pair) < 0 for pair in pairs):
            return None
        pairs = ((student.hidden_states[i], teacher.hidden_states[j]) for i, j in pairs)
        return sum(forward(*pair, mask)[0] for pair in pairs) / num_layers

    text = "hidden_states[layer{}] of the {} is taken for the layer's output: which entry is its input?"
    found = {text.format(sign, who): of_entries(*by) for sign, who, by in (
        ("", "two models", (0, 0)), (" + 2", "two models", (2, 2)), ("", "teacher", (1, 0)), ("", "student", (0, 1)),
        (" + 2", "teacher", (1, 2)), (" + 2", "student", (2, 1)))}  # fmt: skip
    return {what: value for what, value in found.items() if value is not None}


def compare_losses(t, args, tolerance=1e-10):
    right = t.expected(lambda: losses_and_gradients(reference(t.task.function)(*copy.deepcopy(args))))
    beside = t.expected(lambda: neighbours(*copy.deepcopy(args)))
    result = t.call(*args)
    ok = isinstance(result, (tuple, list)) and len(result) == 2 and hasattr(result[1], "hidden_states")
    t.require(ok and hasattr(result[1], "scores"), "the function returned no pair: expected losses, TransferGradients")
    found = losses_and_gradients(result)
    features = found["losses"].get("feature_map_transfer") if isinstance(found["losses"], dict) else None
    for what, value in beside.items() if isinstance(features, float) else ():
        if (
            abs(features - value) <= 1e-9 * abs(value)
            and abs(value - right["losses"]["feature_map_transfer"]) > 1e-6 * value
        ):
            raise Different("losses['feature_map_transfer']", (), what, certainty=2)
    for part, expected in right.items():
        t.same(part, found[part], expected, tolerance)


@prop("13.2", weight=4, essential=True)
def values(t):
    """losses and gradients of some layers are right, under both feature losses"""
    for feature_loss in ("paper", "released"):
        for layers in ([0, 2], [1], [2, 1, 0]):
            with t.case(f"layers {layers}, {feature_loss!r}"):
                compare_losses(t, (*outputs(t.rng), layers, settings_of(t.rng, feature_loss), 3))


@prop("13.2", weight=2, essential=True)
def models_that_stopped(t):
    """the models ran to the highest given layer only, as in every stage but the last"""
    for layers in ([0], [1], [1, 0]):
        student, teacher, mask = outputs(t.rng)
        student, teacher = (cut_to(output, max(layers) + 1) for output in (student, teacher))
        with t.case(f"layers {layers} of 3, and {len(student.hidden_states)} hidden states"):
            compare_losses(t, (student, teacher, mask, layers, settings_of(t.rng, "released"), 3))


@prop("13.2", weight=2, essential=True)
def perfect_student(t):
    """a student that is its teacher has no loss and no gradient, however different the layers are from each other"""
    student, _, mask = outputs(t.rng)
    for feature_loss in ("paper", "released"):
        compare_losses(t, (student, copy.deepcopy(student), mask, [0, 1, 2], settings_of(t.rng, feature_loss), 3))


@prop("13.2", weight=1)
def only_its_own_partner(t):
    """a teacher's layer that is not asked for changes nothing"""
    student, teacher, mask = outputs(t.rng)
    for layer in (0, 2):
        for states in teacher.hidden_states[layer + 1], teacher.attention_scores[layer]:
            states += t.rng.normal(size=states.shape)
    compare_losses(t, (student, teacher, mask, [1], settings_of(t.rng, "released"), 3))


@prop("13.2", weight=1)
def factors_of_zero(t):
    """a factor of 0 switches a loss's gradient off; its value is still reported"""
    for factors in ((0.0, 1.5), (0.7, 0.0), (0.0, 0.0)):
        with t.case(f"feature_factor {factors[0]}, attention_factor {factors[1]}"):
            compare_losses(t, (*outputs(t.rng), [0, 2], TransferSettings("released", *factors), 3))


@prop("13.2", weight=1)
def shares(t):
    """each layer counts 1/L of the whole student, however many layers are asked for"""
    for layers in ([], [3], [0, 3]):
        with t.case(f"layers {layers} of 4"):
            compare_losses(t, (*outputs(t.rng, layers=4), layers, settings_of(t.rng, "released"), 4))


@prop("13.2", weight=1)
def types(t):
    """float32 features get float32 gradients"""
    # 5000 times a squared gap of means in float32: a few more roundings than one layer's gradient alone
    compare_losses(t, (*outputs(t.rng, dtype=np.float32), [0, 1], settings_of(t.rng, "released"), 3), 1e-4)


@prop("13.2", weight=1)
def untouched(t):
    """neither model's outputs are changed"""
    args = (*outputs(t.rng), [0, 1], settings_of(t.rng, "released"), 3)
    right = t.expected(lambda: losses_and_gradients(reference(t.task.function)(*copy.deepcopy(args)))["losses"])
    result, after = t.call_keeping(*args)
    t.same("losses", result[0], right)
    t.unchanged(["student", "teacher", "mask"], args[:3], after[:3])
