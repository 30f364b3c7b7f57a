"""Gradients of several ranks: those of one process, and they travel during the backward pass."""

import numpy as np
import pytest
from tiny_models import random_batch, random_parameters
from toy_ranks import CONFIG, LENGTHS, pretrain

from minimobilebert.distributed import overlap as overlapping
from minimobilebert.distributed.communicator import current
from minimobilebert.distributed.threads import run_ranks
from minimobilebert.kernels.runtime.precision import use_precision
from minimobilebert.model.gradients import new_gradients
from minimobilebert.training.data_parallel import DataParallel, Sharing


def _gradients(parts, lengths=LENGTHS, overlap=True):
    """Those of the second step: what travels in which bucket is known after the first one"""
    rng = np.random.default_rng(8)
    params, batch = random_parameters(CONFIG, rng, dtype=np.float32), random_batch(CONFIG, rng, lengths)
    work = DataParallel(pretrain, 1, Sharing(parts, overlap=overlap))
    work.gradients(params, batch, 2)
    return work.gradients(params, batch, 3)


def _assert_equal(found, expected):
    assert found[0] == expected[0]
    assert list(found[1]) == list(expected[1])
    for name, gradient in found[1].items():
        np.testing.assert_array_equal(gradient, expected[1][name], err_msg=name)


@pytest.mark.parametrize(("overlap", "precision"), [(False, "float32"), (True, "float32"), (True, "bfloat16")])
@pytest.mark.parametrize(("parts", "ranks"), [(4, 1), (4, 2), (4, 3), (4, 4), (5, 2), (6, 6), (7, 3)])
def test_gradients_of_ranks_are_those_of_one_process_bit_for_bit(monkeypatch, parts, ranks, precision, overlap):
    monkeypatch.setattr(overlapping, "BUCKET_BYTES", 700)  # several tensors of a layer

    with use_precision(precision):  # of the process: threads that set it at the same time would leave it set
        expected = _gradients(parts, overlap=overlap)
        found = run_ranks(ranks, lambda: _gradients(parts, overlap=overlap))
    for each in found:
        _assert_equal(each, expected)


def test_gradients_travel_before_the_backward_pass_ends(monkeypatch):
    """The first bucket starts when the last layer is done: before the first layer's gradients are written."""
    monkeypatch.setattr(overlapping, "BUCKET_BYTES", 700)
    events, start = [], overlapping.GradientSum._start

    def noted_start(self, names, gradients):
        if current().rank == 1:
            events.append(names)
        return start(self, names, gradients)

    def noted_step(params, batch, step, rng, shares):
        losses, gradients = pretrain(params, batch, step, rng, shares)
        if current().rank == 1:
            events.append("end of the backward pass")
        return losses, gradients

    monkeypatch.setattr(overlapping.GradientSum, "_start", noted_start)
    rng = np.random.default_rng(8)
    params, batch = random_parameters(CONFIG, rng, dtype=np.float32), random_batch(CONFIG, rng, LENGTHS)

    def run():
        work = DataParallel(noted_step, 1, Sharing(4))
        for step in range(2):
            work.gradients(params, batch, step)

    run_ranks(2, run)
    second = events[events.index("end of the backward pass") + 3 :]  # behind both parts of the first step, and its sum
    last_part = len(second) - 1 - second[::-1].index("end of the backward pass")
    assert sum(isinstance(event, tuple) for event in second[:last_part]) > 5
    assert ".layer.2." in next(event for event in second if isinstance(event, tuple))[0]
    assert sum(isinstance(event, tuple) for event in second[last_part:]) == 1  # the rest: embeddings and heads


def test_a_bucket_that_is_not_written_again_does_not_travel(monkeypatch):
    """Transfer layer by layer: a later step has gradients of other layers than the one before."""
    monkeypatch.setattr(overlapping, "BUCKET_BYTES", 1)
    names = [[f"m.encoder.layer.{layer}.w" for layer in layers] for layers in ((1, 0), (2, 1, 0), (0,))]

    def step_function(params, batch, step, rng, shares):
        gradients = new_gradients()
        for name in names[step]:
            gradients[name] = np.full((2, 3), float(batch.input_ids.sum() + len(name)), np.float32)
        return {"loss": 1.0}, gradients

    def run():
        work = DataParallel(step_function, 1, Sharing(3))
        batch = random_batch(CONFIG, np.random.default_rng(2), LENGTHS)
        return [work.gradients({}, batch, step) for step in range(3)]

    expected = run()
    for found in run_ranks(3, run):
        for one, other in zip(found, expected, strict=True):
            _assert_equal(one, other)


def test_a_rank_without_a_part_takes_part():
    """Two rows for four ranks, as at the end of an epoch."""
    expected = _gradients(4, lengths=(5, 7))
    for found in run_ranks(4, lambda: _gradients(4, lengths=(5, 7))):
        _assert_equal(found, expected)


def test_parts_have_random_numbers_of_their_own():
    """With dropout, four parts are not one part; and the same part is the same again."""
    whole, cut, again = _gradients(1), _gradients(4), _gradients(4)
    _assert_equal(cut, again)
    assert whole[0]["loss"] != pytest.approx(cut[0]["loss"], rel=1e-6)
