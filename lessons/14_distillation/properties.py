"""What lesson 14's functions must do."""

import numpy as np

from minimobilebert.course.shared.bundles import forward_properties
from minimobilebert.course.shared.properties import prop
from minimobilebert.course.shared.trial import reference
from minimobilebert.model.encoder import EncoderOutput
from minimobilebert.model.pretraining import PretrainingOutput
from minimobilebert.text.batches import PretrainingBatch

# --- 14.1


def teacher(rng, words, vocabulary, alpha=None, scale=2.0):
    labels = rng.integers(0, vocabulary, words).astype(np.int32)
    alpha = float(rng.uniform(0.1, 0.9)) if alpha is None else alpha
    return {"teacher_logits": scale * rng.normal(size=(words, vocabulary)), "labels": labels, "alpha": alpha}


def mixed(rng):
    return teacher(rng, 5, 8)


def labels_alone(rng):
    """alpha is 1"""
    return teacher(rng, 4, 5, alpha=1.0)


def teacher_alone(rng):
    """alpha is 0"""
    return teacher(rng, 4, 5, alpha=0.0)


def logits_far_apart(rng):
    return teacher(rng, 3, 6, scale=900.0)


def no_masked_word(rng):
    return teacher(rng, 0, 5)


def one_piece_in_the_vocabulary(rng):
    return teacher(rng, 2, 1)


forward_properties("14.1", mixed, names=("y",), cache=False, edges=[
    labels_alone, teacher_alone, logits_far_apart, no_masked_word, one_piece_in_the_vocabulary,
], large=lambda rng: teacher(rng, 24, 2000), timed=True)  # fmt: skip

# --- distillation_losses


def given(rng, words=4, texts=3, vocabulary=6, alpha=None, dtype=np.float64):
    def output():
        arrays = [2.0 * rng.normal(size=shape).astype(dtype) for shape in ((words, vocabulary), (texts, 2))]
        return PretrainingOutput(*arrays, EncoderOutput([], [], []))

    ids = np.zeros((texts, 5), np.int32)
    batch = PretrainingBatch(
        ids, ids, ids == 0, np.arange(words), rng.integers(0, vocabulary, words).astype(np.int32),
        rng.integers(0, 2, texts).astype(np.int32),
    )  # fmt: skip
    return output(), output(), batch, float(rng.uniform(0.2, 0.8)) if alpha is None else alpha


def as_parts(result):
    """The parts of the loss before their sum: what is wrong in a part says more"""
    values, dwords, dnext = result
    if isinstance(values, dict):
        values = {**{key: values[key] for key in ("nsp_loss", "distillation_loss") if key in values}, **values}
    return {"losses": values, "dwords": dwords, "dnext": dnext}


def compare(t, args, tolerance=1e-10):
    right = t.expected(lambda: as_parts(reference(t.task.function)(*args)))
    result = t.call(*args)
    good = isinstance(result, (tuple, list)) and len(result) == 3
    t.require(good, "the function did not return three things: expected losses, dwords, dnext")
    returned = as_parts(result)
    for part, expected in right.items():
        t.same(part, returned[part], expected, tolerance)


@prop("14.1:distillation_losses", weight=4, essential=True)
def values(t):
    """the losses and both gradients are right"""
    for _ in range(3):
        compare(t, given(t.rng))


@prop("14.1:distillation_losses", weight=1)
def borders(t):
    """alpha 0 and 1; a batch without a masked word; one word, one text"""
    for more in ({"alpha": 0.0}, {"alpha": 1.0}, {"words": 0}, {"words": 1, "texts": 1}):
        with t.case(", ".join(f"{name} {value:g}" for name, value in more.items())):
            compare(t, given(t.rng, **more))


@prop("14.1:distillation_losses", weight=1)
def many_words(t):
    """more masked words and texts than a small whole number can count"""
    compare(t, given(t.rng, words=300, texts=270))


@prop("14.1:distillation_losses", weight=1)
def student_is_the_teacher(t):
    """with alpha 0, words at which the student is its teacher get no gradient; their loss is the teacher's entropy"""
    output, other, batch, _ = given(t.rng)
    words = output.word_logits.copy()
    words[0] = other.word_logits[0]  # gradients of nothing but rounding have no scale to be compared with
    compare(t, (output, output._replace(word_logits=words), batch, 0.0))


@prop("14.1:distillation_losses", weight=1)
def types(t):
    """float32 logits get float32 gradients"""
    compare(t, given(t.rng, dtype=np.float32), 2e-5)


@prop("14.1:distillation_losses", weight=1)
def untouched(t):
    """neither model's logits are changed, and the batch is not"""
    args = given(t.rng)
    right = t.expected(lambda: as_parts(reference(t.task.function)(*args))["losses"])
    result, after = t.call_keeping(*args)
    t.same("losses", result[0], right)
    t.unchanged(["output", "teacher_output", "batch"], args[:3], after[:3])
