"""Ranks that MPI connects (extra `distributed`: mpi4py; the MPI itself is the user's).

    mpiexec -n 4 python -m mpi4py -m minimobilebert train-tiny

Arrays travel as they are in memory; nothing is pickled.
"""

import os
import sys
import time

from ..kernels.runtime.processors import affinity
from ..support.extras import require

# What launchers tell their processes: MPICH and its relatives, Open MPI, Slurm's PMIx.
_SIZES = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "PMIX_SIZE", "MPI_LOCALNRANKS")
_RANKS = ("PMI_RANK", "OMPI_COMM_WORLD_RANK", "PMIX_RANK")

# MPI waits in a loop that takes a whole processor. A rank that waits longer than a message takes, such as for rank 0's
# evaluation, or that shares its processor with another rank, sleeps between two looks.
_LOOP, _NAP = 2e-3, 1e-4  # seconds


class _Requests:
    """What MPI has been asked for"""

    def __init__(self, kind, requests, loop):
        self._kind, self._requests, self._loop = kind, requests, loop

    def done(self):
        return self._kind.Testall(self._requests)

    def wait(self):
        start = time.perf_counter()
        while not self.done():
            if time.perf_counter() - start > self._loop:
                time.sleep(_NAP)


class MPICommunicator:
    """All processes of the job."""

    is_launched = True

    def __init__(self):
        from mpi4py import MPI

        self._mpi, self._world = MPI, MPI.COMM_WORLD
        self.rank, self.size = self._world.Get_rank(), self._world.Get_size()
        self.local = self._world.Split_type(MPI.COMM_TYPE_SHARED).Get_size() if self.size > 1 else 1
        self._loop = _LOOP if self.local <= affinity() else 0.0

    @property
    def library(self):
        """The name and version of the MPI"""
        return " ".join(self._mpi.Get_library_version().split("\n")[0].split())

    def start(self, outgoing, incoming, tag):
        requests = [self._world.Irecv(array, rank, tag) for rank, array in incoming]
        requests += [self._world.Isend(array, rank, tag) for rank, array in outgoing]
        return _Requests(self._mpi.Request, requests, self._loop)

    def start_all_reduce(self, array):
        return _Requests(self._mpi.Request, [self._world.Iallreduce(self._mpi.IN_PLACE, array)], self._loop)

    def abort(self, code):
        sys.stdout.flush()
        sys.stderr.flush()
        self._world.Abort(code)


def _told(names):
    """The first number that a launcher has put into one of these variables of the environment, or 0"""
    values = [os.environ.get(name, "") for name in names]
    return next((int(value) for value in values if value.isdigit()), 0)


def has_company():
    """True if mpiexec started this process with more than one rank."""
    return _told(_SIZES) > 1


def is_launched():
    """True if this process was started as `python -m mpi4py ...`, or by mpiexec with more than one rank."""
    return "mpi4py" in sys.modules or has_company()


def launched_rank():
    """The rank that the launcher gave this process, before anybody connects; 0 without a launcher"""
    return _told(_RANKS)


def connect():
    """-> MPICommunicator. MissingExtra if there is no mpi4py, ValueError if it finds no MPI, or not mpiexec's."""
    require("mpi4py", "distributed")
    try:
        communicator = MPICommunicator()
    except (ImportError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"mpi4py: found no MPI library ({reason}), expected one, such as pip install mpich") from None
    if communicator.size == 1 and has_company():  # every process would take itself for the only one
        raise ValueError(
            f"mpi4py: found one rank ({communicator.library}), expected the {_told(_SIZES)} of mpiexec: it belongs to"
            " another MPI than mpi4py uses"
        )
    return communicator
