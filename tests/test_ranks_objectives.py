"""Every loss of this project on several ranks: the losses and gradients of one process with the same parts."""

import numpy as np
import pytest
from test_parts import _EVERY_TERM, HEADS, STEPS, STUDENT, TEACHER, _labelled
from tiny_models import random_batch, random_parameters

from minimobilebert.distillation.encoder_transfer import EncoderTransfer, encoder_transfer_step
from minimobilebert.distributed import overlap
from minimobilebert.distributed.threads import run_ranks
from minimobilebert.training.data_parallel import DataParallel, Sharing

ENCODER = {
    "similarities": EncoderTransfer((), similarity_factor=3.0),
    "relations": EncoderTransfer(((0, 0), (2, 1)), relation_factor=1.0, relation_heads=2),
    "one layer": EncoderTransfer(((1, 1),), feature_factor=1.0),
    "all but layers": _EVERY_TERM._replace(feature_factor=0.0, attention_factor=0.0, relation_factor=0.0),
}
LENGTHS = (9, 4, 7, 3, 8, 5)


def _without_words(batch, rows):
    """The same batch without masked words in its first rows"""
    kept = batch.masked_positions >= rows * batch.input_ids.shape[1]
    return batch._replace(masked_positions=batch.masked_positions[kept], masked_labels=batch.masked_labels[kept])


def _step_of(name, teacher):
    """step_function of DataParallel"""
    if name in HEADS:
        return lambda params, batch, step, rng, shares: HEADS[name][0](params, STUDENT, batch, rng, shares)
    if name in ENCODER:
        return lambda params, batch, step, rng, shares: encoder_transfer_step(
            params, STUDENT, teacher, TEACHER, batch, ENCODER[name], rng, shares
        )
    return lambda params, batch, step, rng, shares: STEPS[name](params, teacher, batch, shares)


@pytest.mark.parametrize("name", [*STEPS, *HEADS, *ENCODER])
def test_ranks_have_the_losses_and_gradients_of_one_process(monkeypatch, name):
    """Full batches, one without masked words in three of its parts, and one with fewer rows than ranks"""
    monkeypatch.setattr(overlap, "BUCKET_BYTES", 700)
    rng = np.random.default_rng(4)
    head, labels = HEADS[name][1:] if name in HEADS else ("pretraining", None)
    params = random_parameters(STUDENT, rng, head, labels, dtype=np.float32)
    step = _step_of(name, random_parameters(TEACHER, rng, dtype=np.float32))
    batches = [random_batch(STUDENT, rng, LENGTHS) for _ in range(2)]
    batches += [_without_words(batches[0], 3), _without_words(batches[0], 6), random_batch(STUDENT, rng, LENGTHS[:2])]
    batches = [_labelled(name, batch, rng) for batch in batches] if name in HEADS else batches

    def run():
        work = DataParallel(step, 1, Sharing(6))
        return [work.gradients(params, batch, number) for number, batch in enumerate(batches)]

    expected = run()
    for ranks in (2, 4):
        for found in run_ranks(ranks, run):
            for (losses, gradients), (one_losses, one_gradients) in zip(found, expected, strict=True):
                assert losses == one_losses and list(gradients) == list(one_gradients)
                for key, gradient in gradients.items():
                    np.testing.assert_array_equal(gradient, one_gradients[key], err_msg=key)
