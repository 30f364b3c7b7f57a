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
from typing import Any, NamedTuple

import numpy as np

from .. import __version__
from ..distributed.communicator import RunWasFinished, broadcast, current, gather, gather_bytes
from ..distributed.parts import check_parts
from ..kernels.runtime.memory import release_memory
from ..support.errors import TrainingDiverged
from ..support.terminal import progress_bar, say
from .clipping import clip_by_global_norm
from .data_parallel import DataParallel, Sharing, check_same_parameters
from .stage_folder import StageFolder, different_entry

_CHECKED_EVERY = 100  # steps: the parameters of all ranks are compared


class UpdateRule(NamedTuple):
    """What a gradient does to the parameters."""

    optimizer: Any  # AdamW or LAMB: step, state, load_state
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


def _check_same_stage(communicator, name, configuration):
    """ValueError, the same on every rank, unless all ranks train the same stage with the same settings."""
    described = {"stage": name, "version": __version__, "configuration": configuration}
    contents = gather_bytes(communicator, json.dumps(described).encode())
    if not contents[0]:  # rank 0 is at the end of its command: the run was finished already
        raise RunWasFinished
    told = [json.loads(content) for content in contents if content]
    for rank, found in enumerate(told):
        difference = different_entry(found, told[0])
        if difference:
            field, on_rank, on_leader = difference
            raise ValueError(
                f"rank {rank}: found {field} = {on_rank}, expected {on_leader} as on rank 0: give all ranks the same"
                " command, the same files and the same version"
            )


def _share_start(communicator, params, optimizer, start):
    """Tell every rank where rank 0 starts: step, seconds, and 1 if the stage is finished -> the same three

    Parameters and moments of the other ranks become rank 0's.
    """
    numbers = np.array(start, np.float64)
    broadcast(communicator, [numbers])
    step, seconds, finished = int(numbers[0]), float(numbers[1]), bool(numbers[2])
    if step:
        broadcast(communicator, list(params.values()))
    if step and not finished:
        state = optimizer.state()
        broadcast(communicator, list(state.values()))
        optimizer.load_state(state)
    return step, seconds, finished


def _write_line(log, line):
    """One line of metrics.jsonl, an unbuffered file."""
    try:
        log.write((json.dumps(line) + "\n").encode())
    except OSError as error:
        raise OSError(error.errno, f"cannot write ({error.strerror}); the last checkpoint is kept", log.name) from None


def _restored(stage, name, params, optimizer, best):
    """Rank 0: read the checkpoint of the stage, if there is one -> step, seconds, whether the stage is finished"""
    arrays, metadata = stage.finished()
    if arrays is not None:
        _into(params, arrays, "")
        if best:
            best.restore_finished(metadata["best"])
        return metadata["step"], metadata["seconds"], True
    arrays, metadata = stage.newest()
    if arrays is None:
        return 0, 0.0, False
    _into(params, arrays, "params.")
    optimizer.load_state({key[10:]: value for key, value in arrays.items() if key.startswith("optimizer.")})
    if best:
        best.restore(metadata["best"], metadata["step"])
    say(f"{name}: resuming from step {metadata['step']}")
    return metadata["step"], metadata["seconds"], False


class _Files:
    """What rank 0 writes during a stage."""

    def __init__(self, stage, log, optimizer, best):
        self.stage, self.log, self.optimizer, self.best = stage, log, optimizer, best

    def write_line(self, line):
        _write_line(self.log, line)

    def save(self, params, step, seconds):
        state = {f"params.{key}": value for key, value in params.items()}
        state |= {f"optimizer.{key}": value for key, value in self.optimizer.state().items()}
        os.fsync(self.log.fileno())  # the checkpoint stores the hash of these lines, so they must be on disk before it
        self.stage.save(state, step, seconds, self.best.state() if self.best else None)


class _NoFiles:
    """The same for any other rank: nothing."""

    def write_line(self, line):
        pass

    def save(self, params, step, seconds):
        pass


@contextlib.contextmanager
def _files_of(stage, optimizer, best):
    """_Files of the stage, or _NoFiles if it is None"""
    if stage is None:
        yield _NoFiles()
        return
    with open(stage.metrics, "ab", buffering=0) as log:
        yield _Files(stage, log, optimizer, best)
        os.fsync(log.fileno())


def _finish(stage, kept, step, seconds, best):
    """Save the parameters that are kept, and remove what only a running stage needs."""
    stage.finish(kept, step, seconds, best.state() if best else None)
    if best:
        best.remove()


def _anyone(communicator, flag):
    """True if `flag` is true on some rank"""
    if communicator.size == 1:
        return bool(flag)
    return any(found[0] for found in gather(communicator, np.array([bool(flag)], np.uint8)))


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
    optimizer, schedule, multipliers, clip_norm, sharing = update_rule
    communicator = current()
    leads = communicator.rank == 0
    check_parts(sharing.parts)
    shared = DataParallel(step_function, seed, sharing)
    stage = StageFolder(records.folder, records.configuration) if leads else None
    start_of_stage = _restored(stage, name, params, optimizer, best) if leads else (0, 0.0, False)
    if communicator.size > 1:
        _check_same_stage(communicator, name, records.configuration)
        start_of_stage = _share_start(communicator, params, optimizer, start_of_stage)
    first, before, finished = start_of_stage
    if finished:
        return Finished(before, first)
    start = saved = time.perf_counter()

    def spent():
        return before + time.perf_counter() - start

    with (
        _files_of(stage, optimizer, best) as files,
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
            if _anyone(communicator, interrupted):
                files.save(params, done, spent())
                raise KeyboardInterrupt(f"{name}: stopped after step {done}; the same command resumes from here")
            if time.perf_counter() - saved > records.checkpoint_seconds and done < total_steps:
                files.save(params, done, spent())
                saved = time.perf_counter()
    release_memory()  # what comes next has arrays of other sizes, and these would wait beside them
    if leads:
        _finish(stage, best.parameters() if best else params, total_steps, spent(), best)
    return Finished(spent(), total_steps)
