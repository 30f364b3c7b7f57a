"""Several ranks add the same numbers in the same order as one process."""

import functools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minimobilebert.distributed.communicator import broadcast, current, gather, gather_bytes
from minimobilebert.distributed.fixed_tree import nodes_inside, tree_sum
from minimobilebert.distributed.reduction import Numbers, Reduction, parts_of_rank
from minimobilebert.distributed.threads import run_ranks


def _leaves(parts, length, seed):
    """Numbers of very different sizes, so that each order of additions has other bits: [parts, length] float32"""
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(parts, length)) * 10.0 ** rng.integers(-4, 5, (parts, length))).astype(np.float32)


def _in_one_process(leaves):
    return tree_sum(0, len(leaves), lambda low, high: leaves[low].copy() if high - low == 1 else None)


@given(parts=st.integers(1, 40), first=st.integers(0, 40), stop=st.integers(0, 40))
def test_nodes_inside_are_disjoint_and_cover_the_parts(parts, first, stop):
    first, stop = sorted((min(first, parts), min(stop, parts)))
    nodes = nodes_inside(first, stop, 0, parts)
    assert [part for low, high in nodes for part in range(low, high)] == list(range(first, stop))


def test_the_order_of_additions_is_the_one_that_is_drawn():
    a, b, c, d, e = np.float32([1e8, 1.0, -1e8, 3.0, 5.0])
    expected = np.float32(np.float32(a + b) + np.float32(c + np.float32(d + e)))
    assert _in_one_process(np.float32([[a], [b], [c], [d], [e]]))[0] == expected


@settings(max_examples=25)
@given(
    parts=st.integers(1, 13), ranks=st.integers(1, 7), length=st.integers(1, 40), seed=st.integers(0, 2**32 - 1)
)  # fmt: skip
def test_every_number_of_ranks_has_the_bits_of_one_process(parts, ranks, length, seed):
    leaves = _leaves(parts, length, seed)

    def reduced():
        communicator = current()
        own = parts_of_rank(communicator.rank, communicator.size, parts)
        nodes = {node: _node(leaves, *node) for node in nodes_inside(*own, 0, parts)}
        return _sum(communicator, nodes, parts, length)

    expected = _in_one_process(leaves)
    for total in run_ranks(ranks, reduced):
        np.testing.assert_array_equal(total, expected)


def _sum(communicator, nodes, parts, length, how="deterministic"):
    return Reduction(communicator, nodes, Numbers(length, np.dtype(np.float32), parts, how)).wait()


def _node(leaves, low, high):
    return tree_sum(low, high, lambda a, b: leaves[a].copy() if b - a == 1 else None)


@pytest.mark.parametrize(("how", "tolerance"), [("fast", 1e-6), ("ring", 1e-6), ("bfloat16", 2.0**-7)])
def test_other_reductions_are_close_and_equal_on_all_ranks(how, tolerance):
    """fast, ring: float32, seven additions; bfloat16: a relative 2^-9 for each number that travels, twice on its way"""
    leaves = np.abs(_leaves(7, 31, 3))  # positive, so that nothing cancels

    def reduced():
        communicator = current()
        own = parts_of_rank(communicator.rank, communicator.size, 7)
        nodes = {node: _node(leaves, *node) for node in nodes_inside(*own, 0, 7)}
        return _sum(communicator, nodes, 7, 31, how)

    totals = run_ranks(3, reduced)
    np.testing.assert_allclose(totals[0], leaves.astype(np.float64).sum(axis=0), rtol=tolerance)
    for total in totals[1:]:
        np.testing.assert_array_equal(total, totals[0])


def test_bfloat16_halves_what_travels():
    sent = []

    def reduced(how):
        communicator = current()
        start = communicator.start
        communicator.start = lambda outgoing, incoming, tag: (
            sent.append(sum(array.nbytes for _, array in outgoing)), start(outgoing, incoming, tag))[1]  # fmt: skip
        nodes = {node: _leaves(1, 40, 1)[0] for node in nodes_inside(*parts_of_rank(communicator.rank, 2, 2), 0, 2)}
        _sum(communicator, nodes, 2, 40, how)

    traffic = {}
    for how in ("deterministic", "bfloat16"):
        sent.clear()
        run_ranks(2, functools.partial(reduced, how))
        traffic[how] = sum(sent)
    assert traffic["deterministic"] == 2 * traffic["bfloat16"] == 2 * 4 * 40  # 2 n (N - 1) / N numbers for each rank


def test_gather_and_broadcast():
    def run():
        communicator = current()
        assert [int(a[0]) for a in gather(communicator, np.array([communicator.rank]))] == [0, 1, 2]
        assert gather_bytes(communicator, b"x" * communicator.rank) == [b"", b"x", b"xx"]
        array = np.full((2, 3), float(communicator.rank))
        broadcast(communicator, [array])
        return array.sum()

    assert run_ranks(3, run) == [0.0, 0.0, 0.0]
