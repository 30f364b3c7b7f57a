"""The training loop of all stages. A stage supplies a function (params, batch, rng) -> losses, gradients.

Each step depends only on (seed, step) and on the parameters and moments before it. A resumed run therefore ends with
the same bits as an uninterrupted one. stage_folder.py describes the files.
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

from ..kernels.runtime.memory import release_memory
from ..support.errors import TrainingDiverged
from ..support.terminal import progress_bar, say
from .clipping import clip_by_global_norm
from .stage_folder import StageFolder

_DROPOUT_STREAM = 501


class UpdateRule(NamedTuple):
    """What a gradient does to the parameters."""

    optimizer: Any  # AdamW or LAMB: step, state, load_state
    schedule: Callable  # step -> learning rate
    multipliers: Callable | None = None  # step -> {name: factor of its learning rate}
    clip_norm: float = 1.0  # largest norm of the gradient


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


def train(
    name, step_function, params, batches, *, total_steps, seed, update_rule, records, after_step=None, best=None
):  # fmt: skip
    """Train `params` in place until `total_steps`. Resume from the newest checkpoint, if there is one.

    step_function(params, batch, rng) -> losses {name: float, with "loss"}, gradients {name: array}
    batches(step) -> batch; update_rule: UpdateRule; records: Records
    after_step(steps done, params): called before a checkpoint with this step is saved, so that what it writes exists
    when a run resumes after the step; if the run is killed, it may be called twice for a step
    best: a BestCheckpoint to which after_step adds, or None; the final checkpoint then stores the best parameters
    -> Finished. OtherConfiguration if a checkpoint has another configuration; DamagedRun if a file of the stage was
    modified; TrainingDiverged if the loss is not finite; KeyboardInterrupt on Ctrl-C, after a checkpoint.
    """
    optimizer, schedule, multipliers, clip_norm = update_rule
    stage = StageFolder(records.folder, records.configuration)
    arrays, metadata = stage.finished()
    if arrays is not None:
        _into(params, arrays, "")
        if best:
            best.restore_finished(metadata["best"])
        return Finished(metadata["seconds"], metadata["step"])

    first, before = 0, 0.0
    arrays, metadata = stage.newest()
    if arrays is not None:
        first, before = metadata["step"], metadata["seconds"]
        _into(params, arrays, "params.")
        optimizer.load_state({key[10:]: value for key, value in arrays.items() if key.startswith("optimizer.")})
        if best:
            best.restore(metadata["best"], first)
        say(f"{name}: resuming from step {first}")

    start = saved = time.perf_counter()

    def spent():
        return before + time.perf_counter() - start

    def save(step):
        state = {f"params.{key}": value for key, value in params.items()}
        state |= {f"optimizer.{key}": value for key, value in optimizer.state().items()}
        os.fsync(log.fileno())  # the checkpoint stores the hash of these lines, so they must be on disk before it
        stage.save(state, step, spent(), best.state() if best else None)

    with (
        open(stage.metrics, "ab", buffering=0) as log,
        progress_bar(name, total_steps, first) as bar,
        _delayed_interrupt() as interrupted,
    ):
        for step in range(first, total_steps):
            rng = np.random.default_rng([seed, _DROPOUT_STREAM, step])
            losses, gradients = step_function(params, batches(step), rng)
            norm, factor = clip_by_global_norm(gradients, clip_norm)
            _check_finite(name, step, losses, norm, gradients)
            rate = schedule(step)
            optimizer.step(params, gradients, rate, multipliers(step) if multipliers else None, factor)
            done = step + 1
            if done % records.log_every == 0 or done == total_steps:
                line = {"step": done, **losses, "learning_rate": rate, "gradient_norm": norm, "seconds": spent()}
                _write_line(log, line)
            if after_step:
                after_step(done, params)
            bar.update(f"loss {losses['loss']:.3f}")
            if interrupted:
                save(done)
                raise KeyboardInterrupt(f"{name}: stopped after step {done}; the same command resumes from here")
            if time.perf_counter() - saved > records.checkpoint_seconds and done < total_steps:
                save(done)
                saved = time.perf_counter()
        os.fsync(log.fileno())
    release_memory()  # what comes next has arrays of other sizes, and these would wait beside them
    kept = best.parameters() if best else params
    stage.finish(kept, total_steps, spent(), best.state() if best else None)
    if best:
        best.remove()
    return Finished(spent(), total_steps)
