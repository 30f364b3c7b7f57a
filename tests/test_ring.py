"""The ring: the sums of the fixed tree, in the order that is drawn, with the traffic that is promised."""

import functools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minimobilebert.distributed.communicator import OneProcess, current
from minimobilebert.distributed.reduction import Numbers, Reduction, parts_of_rank
from minimobilebert.distributed.ring import ring_all_gather, ring_all_reduce, ring_reduce_scatter, segments_of
from minimobilebert.distributed.threads import run_ranks


def _on_ranks(function, arrays):
    """function(communicator, array) on a rank for each array -> the arrays afterwards, and what was sent

    sent: for each rank the list of (receiver, numbers)
    """
    sent = [[] for _ in arrays]

    def run():
        communicator = current()
        start = communicator.start

        def noted(outgoing, incoming, tag):
            sent[communicator.rank] += [(rank, array.size) for rank, array in outgoing]
            return start(outgoing, incoming, tag)

        communicator.start = noted
        array = arrays[communicator.rank].copy()
        function(communicator, array)
        return array

    return run_ranks(len(arrays), run), sent


@settings(max_examples=25)
@given(ranks=st.integers(1, 7), length=st.integers(0, 30), seed=st.integers(0, 2**32 - 1))
def test_the_ring_adds_what_the_tree_adds(ranks, length, seed):
    arrays = np.random.default_rng(seed).integers(-1000, 1000, (ranks, length)).astype(np.float32)  # exact in any order

    def reduced():
        rank = current().rank
        nodes = {(rank, rank + 1): arrays[rank].copy()}
        return Reduction(current(), nodes, Numbers(length, arrays.dtype, ranks)).wait()

    expected = run_ranks(ranks, reduced)
    for found, right in zip(_on_ranks(ring_all_reduce, list(arrays))[0], expected, strict=True):
        np.testing.assert_array_equal(found, right)


@pytest.mark.parametrize(("ranks", "length"), [(2, 7), (3, 10), (5, 31), (4, 2)])
def test_segment_r_is_added_from_rank_r_plus_1_on(ranks, length):
    rng = np.random.default_rng(length)
    arrays = (rng.normal(size=(ranks, length)) * 10.0 ** rng.integers(-4, 5, (ranks, length))).astype(np.float32)
    found, _ = _on_ranks(ring_all_reduce, list(arrays))
    for rank, segment in enumerate(segments_of(length, ranks)):
        order = [(rank + 1 + turn) % ranks for turn in range(ranks)]
        right = functools.reduce(np.add, [arrays[other][segment] for other in order])
        for array in found:
            np.testing.assert_array_equal(array[segment], right)


@pytest.mark.parametrize("ranks", [1, 2, 3, 5])
def test_every_rank_sends_to_the_next_one_and_no_more_than_promised(ranks):
    length = 4 * ranks
    found, sent = _on_ranks(ring_all_reduce, [np.ones(length) for _ in range(ranks)])
    for rank, messages in enumerate(sent):
        assert {receiver for receiver, _ in messages} <= {(rank + 1) % ranks}
        assert sum(size for _, size in messages) == 2 * length * (ranks - 1) // ranks
        np.testing.assert_array_equal(found[rank], np.full(length, float(ranks)))


def test_each_phase_by_itself():
    """Rank r has sum r after the first; the second copies segments as they are, whatever else was in the arrays."""
    arrays = [np.arange(7.0) * 10.0**rank for rank in range(3)]
    found, _ = _on_ranks(ring_reduce_scatter, arrays)
    segments = segments_of(7, 3)
    for rank, segment in enumerate(segments):
        np.testing.assert_array_equal(found[rank][segment], np.arange(7.0)[segment] * 111.0)
    spread = [np.full(7, np.nan) for _ in range(3)]
    for rank, segment in enumerate(segments):
        spread[rank][segment] = np.arange(7.0)[segment]
    for array in _on_ranks(ring_all_gather, spread)[0]:
        np.testing.assert_array_equal(array, np.arange(7.0))


def test_one_process_needs_nobody():
    array = np.arange(3.0)
    ring_all_reduce(OneProcess(), array)
    np.testing.assert_array_equal(array, [0.0, 1.0, 2.0])


def test_a_reduction_can_use_the_ring():
    """With parts that are no whole nodes, too: each rank adds up its own first."""

    def reduced():
        first, stop = parts_of_rank(current().rank, 3, 7)
        nodes = {(part, part + 1): np.full(5, 10.0**part) for part in range(first, stop)}
        return Reduction(current(), nodes, Numbers(5, np.dtype(float), 7, "ring")).wait()

    for total in run_ranks(3, reduced):
        np.testing.assert_array_equal(total, np.full(5, 1111111.0))
