"""A command on several ranks: `mpiexec -n 4 python -m mpi4py -m minimobilebert train-tiny`.

Every rank runs the same command. Rank 0 is the one that people see: it prints, reads checkpoints and writes files. The
others say nothing and write into folders of their own, which are removed at the end. Training steps are shared
(training/data_parallel.py); what lies between them every rank does for itself, so that nothing but gradients travels.
"""

import contextlib
import io
import json
import os
import pathlib
import shutil
import sys
import tempfile
import time

from ..distributed import mpi

TRAINING = ("train-tiny", "distil", "finetune")  # with steps that ranks share
TOGETHER = ("prepare", "seeds", "sweep", "ablate")  # in a folder that all ranks see, as `finetune --search`
_PREFIX, _LOCK = "minimobilebert-rank-", ".lock"
_FIRST_WORD = 2.0  # seconds in which rank 0 reports a failure that all ranks have
_LAST_MOMENT = 0.5  # seconds in which the others remove their folders after a failure that all ranks have
# Options that no stage's settings have, and that change what a rank takes part in.
_SAME = ("command", "teacher", "baseline", "vectors_only", "search", "run", "seeds", "rates")


def _check_command(name, communicator):
    """ValueError for a command that several ranks would only repeat."""
    if communicator.size > 1 and name not in (*TRAINING, *TOGETHER, "doctor"):
        raise ValueError(
            f"{name}: found {communicator.size} ranks, expected one: several ranks can run"
            f" {', '.join(TRAINING + TOGETHER)}"
        )


def _makes_whole_runs(arguments):
    """True if ranks share runs, or a text, in a folder that all of them see, and not the steps of one run"""
    return arguments.command in TOGETHER or getattr(arguments, "search", None) is not None


def _check_same_command(arguments, communicator):
    """ValueError, the same on every rank, for ranks that would wait for each other at different points."""
    from ..distributed.communicator import gather_bytes

    names = (*_SAME, "out", "set") if _makes_whole_runs(arguments) else _SAME
    given = {name: getattr(arguments, name, None) for name in names}
    told = [json.loads(content) for content in gather_bytes(communicator, json.dumps(given).encode())]
    for rank, found in enumerate(told):
        for name in sorted({*found, *told[0]}, key=lambda name: (name != "command", name)):
            if found.get(name) != told[0].get(name):
                raise ValueError(
                    f"rank {rank}: found {name} = {found.get(name)}, expected {told[0].get(name)} as on rank 0: give"
                    " all ranks the same command"
                )


def _share_processors(communicator):
    """Kernels use this rank's share of the machine's processors, unless NUMBA_NUM_THREADS says another number."""
    if communicator.local > 1 and "NUMBA_NUM_THREADS" not in os.environ:
        from ..kernels.runtime.processors import usable
        from ..kernels.runtime.threads import set_threads

        set_threads(max(1, usable() // communicator.local))


def _empty(folder):
    """Remove all but the lock from a rank's folder: who is killed meanwhile leaves one that the next job removes."""
    with contextlib.suppress(OSError):
        for path in folder.iterdir():
            if path.name != _LOCK:
                shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def _own_folder():
    """`with _own_folder() as folder:` a temporary folder; those of ranks that were killed are removed"""
    from ..support.locks import still_there, take

    for path in pathlib.Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError), open(path / _LOCK, "r+b") as lock:
            if take(lock):
                _empty(path)
                shutil.rmtree(path, ignore_errors=True)
    while True:
        with tempfile.TemporaryDirectory(prefix=_PREFIX, ignore_cleanup_errors=True) as folder:
            path = os.path.join(folder, _LOCK)
            with open(path, "w+b") as lock:
                if take(lock) and still_there(lock, path):  # otherwise another rank removes it as a leftover
                    try:
                        yield folder
                    finally:
                        _empty(pathlib.Path(folder))
                    return


@contextlib.contextmanager
def _unseen(arguments):
    """A rank that is not 0: silent, and with a folder of its own if it would write the same files as rank 0"""
    from ..support import terminal

    with contextlib.ExitStack() as stack:
        if arguments.command in TRAINING and not _makes_whole_runs(arguments):
            arguments.out = os.path.join(stack.enter_context(_own_folder()), "run")
        stack.enter_context(terminal.silence())
        stack.enter_context(contextlib.redirect_stdout(stack.enter_context(open(os.devnull, "w"))))
        yield


@contextlib.contextmanager
def words_of_leader():
    """`with words_of_leader(): parse(...)`: the help or the usage error that every rank has is printed by rank 0 alone

    A usage error ends all ranks, even if it is that of one: the others would wait for it, which does not connect. A
    rank that is not 0 prints it if rank 0 has not ended all meanwhile.
    """
    if not mpi.has_company():
        yield
        return
    rank, silent = mpi.launched_rank(), contextlib.ExitStack()
    errors = io.StringIO()
    if rank:
        silent.enter_context(contextlib.redirect_stdout(io.StringIO()))
        silent.enter_context(contextlib.redirect_stderr(errors))
    try:
        with silent:
            yield
    except SystemExit as end:
        if end.code:
            communicator = mpi.connect()
            if rank:
                time.sleep(_FIRST_WORD)
                print(f"rank {rank}: {errors.getvalue()}", end="", file=sys.stderr)
            communicator.abort(end.code)
        raise


def run_on_ranks(arguments):
    """Run `arguments.function` on this rank -> exit code"""
    if not mpi.is_launched():
        return arguments.function(arguments)
    from ..distributed.communicator import use

    communicator = mpi.connect()
    try:
        with use(communicator):
            return _run_rank(arguments, communicator)
    except (Exception, KeyboardInterrupt) as error:
        error.communicator = communicator
        raise


def _run_rank(arguments, communicator):
    from ..distributed.communicator import RunWasFinished, WorkIsDone, farewell

    _check_command(arguments.command, communicator)
    if communicator.size == 1:
        return arguments.function(arguments)
    _check_same_command(arguments, communicator)
    _share_processors(communicator)
    code = 0
    with contextlib.nullcontext() if communicator.rank == 0 else _unseen(arguments):
        try:
            code = arguments.function(arguments)
        except RunWasFinished:
            return 0
        except WorkIsDone:
            pass
    farewell(communicator)
    return code


def _end_all(code, communicator):
    if communicator is not None and communicator.size > 1:
        if communicator.rank == 0:
            time.sleep(_LAST_MOMENT)
        communicator.abort(code)


def report_interruption(text, code, communicator):
    """Rank 0 alone says so, because all ranks are interrupted together; end all, as in `report_failure`."""
    if communicator is None or communicator.rank == 0:
        print(f"minimobilebert: {text}", file=sys.stderr)
    else:
        time.sleep(_FIRST_WORD)
    _end_all(code, communicator)


def report_failure(text, code, communicator):
    """Print the failure of a rank, and end all ranks: those that wait for this one would wait for ever."""
    rank = mpi.launched_rank() if communicator is None else communicator.rank
    if rank:
        time.sleep(_FIRST_WORD)
        text = f"rank {rank}: {text}"
    print(f"minimobilebert: {text}", file=sys.stderr)
    _end_all(code, communicator)
