"""The training loop of all stages. A stage supplies a function (params, batch, ...) -> losses, gradients.

Each step depends only on (seed, step) and on the parameters and moments before it. A resumed run therefore ends with
the same bits as an uninterrupted one. stage_folder.py describes the files.

With several ranks (distributed/communicator.py) every rank runs this loop and makes the same updates; rank 0 alone
reads and writes files and evaluates, and tells the others where it starts.
"""

import contextlib
import json
import os
import pathlib
import signal
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ..distributed.communicator import current
from ..distributed.parts import check_parts
from ..distributed.whole_runs import wait_for_all
from ..kernels.runtime.memory import release_memory
from ..support.errors import TrainingDiverged
from ..support.terminal import progress_bar, say
from .clipping import clip_by_global_norm
from .data_parallel import DataParallel, Sharing, check_same_parameters
from .sharded_optimizer import ShardedOptimizer
from .stage_folder import StageFolder
from .together import Start, agreed, check_same_stage, share_start

_CHECKED_EVERY = 100  # steps: the parameters of all ranks are compared


class UpdateRule(NamedTuple):
    """What a gradient does to the parameters."""

    optimizer: Callable  # params -> AdamW or LAMB for them: step, state, load_state
    schedule: Callable  # step -> learning rate
    multipliers: Callable | None = None  # step -> {name: factor of its learning rate}
    clip_norm: float = 1.0  # largest norm of the gradient
    sharing: Sharing = Sharing()  # of a step among ranks


class Records(NamedTuple):
    """What a stage writes, and how often."""

    folder: pathlib.Path
    configuration: dict  # must be equal to the one in the checkpoint for a run to resume
    log_every: int = 10  # steps between two lines of metrics.jsonl
    checkpoint_seconds: float = 20.0  # between two checkpoints


class Finished(NamedTuple):
    seconds: float  # spent on the stage, over all sessions
    steps: int


def _into(params, arrays, prefix):
    for name, array in params.items():
        array[...] = arrays[prefix + name]


def _check_finite(name, step, losses, norm, gradients):
    if np.isfinite(losses["loss"]) and np.isfinite(norm):
        return
    bad = next((key for key, g in gradients.items() if not np.isfinite(g).all()), "none")
    raise TrainingDiverged(
        f"{name}: step {step + 1}: the loss is {losses['loss']} and the gradient norm {norm}; first gradient that is"
        f" not finite: {bad}. Lower the learning rate, or clip more. The last checkpoint is kept."
    )


@contextlib.contextmanager
def _delayed_interrupt():
    """Delay Ctrl-C until the end of the update, because half an update could not be resumed exactly.

    Yields a list, which is not empty after Ctrl-C. A second Ctrl-C stops at once.
    """
    pressed = []
    if threading.current_thread() is not threading.main_thread():
        yield pressed  # Python delivers signals to the main thread
        return

    def handler(number, frame):
        if pressed:
            raise KeyboardInterrupt
        pressed.append(number)

    previous = signal.signal(signal.SIGINT, handler)
    try:
        yield pressed
    finally:
        signal.signal(signal.SIGINT, previous)


def _write_line(log, line):
    """One line of metrics.jsonl, an unbuffered file."""
    try:
        log.write((json.dumps(line) + "\n").encode())
    except OSError as error:
        raise OSError(error.errno, f"cannot write ({error.strerror}); the last checkpoint is kept", log.name) from None


def _restored(stage, name, params, best):
    """Rank 0: read the checkpoint of the stage, if there is one, into params and best -> Start"""
    arrays, metadata = stage.finished()
    if arrays is not None:
        _into(params, arrays, "")
        if best:
            best.restore_finished(metadata["best"])
        return Start(metadata["step"], metadata["seconds"], True)
    arrays, metadata = stage.newest()
    if arrays is None:
        return Start()
    _into(params, arrays, "params.")
    if best:
        best.restore(metadata["best"], metadata["step"])
    say(f"{name}: resuming from step {metadata['step']}")
    state = {key[10:]: value for key, value in arrays.items() if key.startswith("optimizer.")}
    return Start(metadata["step"], metadata["seconds"], False, state)


class _Files:
    """What rank 0 writes during a stage; other ranks have no files."""

    def __init__(self, stage, log, best):
        self._stage, self._log, self._best = stage, log, best

    def write_line(self, line):
        if self._log:
            _write_line(self._log, line)

    def save(self, params, state, step, seconds):
        """A checkpoint; state: the optimiser's"""
        if self._stage:
            arrays = {f"params.{key}": value for key, value in params.items()}
            arrays |= {f"optimizer.{key}": value for key, value in state.items()}
            os.fsync(self._log.fileno())  # their hash is in the checkpoint: they must be on disk before it
            self._stage.save(arrays, step, seconds, self._best.state() if self._best else None)


@contextlib.contextmanager
def _files_of(stage, best):
    """_Files of a StageFolder, or of none"""
    if stage is None:
        yield _Files(None, None, None)
        return
    with open(stage.metrics, "ab", buffering=0) as log:
        yield _Files(stage, log, best)
        os.fsync(log.fileno())


def _finish(stage, kept, step, seconds, best):
    """Save the parameters that are kept, and remove what only a running stage needs."""
    stage.finish(kept, step, seconds, best.state() if best else None)
    if best:
        best.remove()


def train(
    name, step_function, params, batches, *, total_steps, seed, update_rule, records, after_step=None, best=None
):  # fmt: skip
    """Train `params` in place until `total_steps`. Resume from the newest checkpoint, if there is one.

    step_function(params, batch, step, rng, shares) -> losses {name: float, with "loss"}, gradients {name: array};
        shares: what part of the step's batch this is (model/parts.py)
    batches(step) -> batch; update_rule: UpdateRule; records: Records
    after_step(steps done, params): called before a checkpoint with this step is saved, so that what it writes exists
    when a run resumes after the step; if the run is killed, it may be called twice for a step
    best: a BestCheckpoint to which after_step adds, or None; the final checkpoint then stores the best parameters
    -> Finished. OtherConfiguration if a checkpoint has another configuration; DamagedRun if a file of the stage was
    modified; TrainingDiverged if the loss is not finite; KeyboardInterrupt on Ctrl-C, after a checkpoint. Of several
    ranks, only rank 0 calls after_step and has files; the others end with the last parameters, not the best ones.
    """
    make, schedule, multipliers, clip_norm, sharing = update_rule
    communicator = current()
    leads = communicator.rank == 0
    if leads:
        check_parts(sharing.parts)
    shared = DataParallel(step_function, seed, sharing)
    stage = StageFolder(records.folder, records.configuration) if leads else None
    begun = _restored(stage, name, params, best) if leads else Start()
    if communicator.size > 1:
        check_same_stage(communicator, name, records.configuration)  # or the run was finished, whatever its parts are
        check_parts(sharing.parts)
        begun = share_start(communicator, params, begun)
    first, before = begun.step, begun.seconds
    if begun.finished:
        return Finished(before, first)
    optimizer = ShardedOptimizer(make, params) if sharing.shards_optimizer and communicator.size > 1 else make(params)
    if begun.state:
        optimizer.load_state(begun.state)
    start = saved = time.perf_counter()

    def spent():
        return before + time.perf_counter() - start

    with (
        _files_of(stage, best) as files,
        progress_bar(name, total_steps, first) as bar,
        _delayed_interrupt() as interrupted,
    ):
        for step in range(first, total_steps):
            losses, gradients = shared.gradients(params, batches(step), step)
            norm, factor = clip_by_global_norm(gradients, clip_norm)
            _check_finite(name, step, losses, norm, gradients)
            rate = schedule(step)
            optimizer.step(params, gradients, rate, multipliers(step) if multipliers else None, factor)
            done = step + 1
            if done % records.log_every == 0 or done == total_steps:
                line = {"step": done, **losses, "learning_rate": rate, "gradient_norm": norm, "seconds": spent()}
                files.write_line(line | ({"communication": shared.seconds} if communicator.size > 1 else {}))
            if done % _CHECKED_EVERY == 0 or done == total_steps:
                check_same_parameters(params, done)
            if after_step and leads:
                after_step(done, params)
            bar.update(f"loss {losses['loss']:.3f}")
            due = time.perf_counter() - saved > records.checkpoint_seconds and done < total_steps
            stops, due = agreed(communicator, bool(interrupted), due and leads)
            if stops or due:
                files.save(params, optimizer.state(), done, spent())
                saved = time.perf_counter()
            if stops:
                wait_for_all()  # rank 0 has saved: a rank that ends may end the others
                raise KeyboardInterrupt(f"{name}: stopped after step {done}; the same command resumes from here")
    release_memory()  # what comes next has arrays of other sizes, and these would wait beside them
    if leads:
        _finish(stage, best.parameters() if best else params, total_steps, spent(), best)
    return Finished(spent(), total_steps)
