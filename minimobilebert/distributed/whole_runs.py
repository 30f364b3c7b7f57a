"""Many runs on several ranks: each rank makes whole runs, as one process would, in a folder that all ranks see."""

import contextlib

import numpy as np

from .communicator import alone, current, gather, leader_only


def wait_for_all():
    """Go on when every rank is at this point."""
    gather(current(), np.zeros(1))


def in_turn(make):
    """make() on one rank after the other, because all may find the same folder -> its result"""
    for rank in range(current().size):
        if rank == current().rank:
            made = make()
        wait_for_all()
    return made


@contextlib.contextmanager
def made_on_ranks(make, *rounds):
    """`with made_on_ranks(make, runs):` call make(run) for this rank's share of the runs, and go on as rank 0 alone.

    rounds: lists of runs; those of one round may read what the rounds before it made
    Afterwards all runs are finished, and rank 0 reads them as it would after an interruption. One process does nothing
    here: it makes the runs when it comes to them.
    """
    communicator = current()
    for runs in rounds if communicator.size > 1 else ():
        with alone():
            for run in list(runs)[communicator.rank :: communicator.size]:
                make(run)
        wait_for_all()
    leader_only()
    with alone():
        yield


@contextlib.contextmanager
def held_by_leader(context):
    """`with held_by_leader(claimed(folder)):` rank 0 enters the context, and the others go on when it has."""
    if current().rank == 0:
        with context:
            wait_for_all()
            yield
    else:
        wait_for_all()
        yield
