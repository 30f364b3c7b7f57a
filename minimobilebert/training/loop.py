"""One training loop for every stage: it knows a function (params, batch, rng) -> (losses, gradients), and nothing else.

Every step is a function of (seed, step) and of the parameters and moments before it, so a run that goes on from a
checkpoint ends with the same bits as one that was never interrupted. The files are those of stage_folder.py.
"""

import contextlib
import json
import os
import signal
import threading
import time
from typing import NamedTuple

import numpy as np

from ..support.errors import TrainingDiverged
from ..support.terminal import progress_bar, say
from .clipping import clip_by_global_norm
from .stage_folder import StageFolder

_DROPOUT_STREAM = 501


class Finished(NamedTuple):
    seconds: float  # spent on the stage, all its sessions together
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
    """Ctrl-C between two updates only: an update that is cut in half could not be continued exactly.

    Yields a list that is no longer empty once Ctrl-C was pressed. A second Ctrl-C stops at once.
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
    name, step_function, params, optimizer, schedule, batches, *, total_steps, folder, seed, configuration,
    multipliers=None, clip_norm=1.0, log_every=10, checkpoint_seconds=20.0, after_step=None, best=None,
):  # fmt: skip
    """Train `params` in place until `total_steps`, going on from the newest checkpoint in `folder`.

    step_function(params, batch, rng) -> losses {name: float, with "loss"}, gradients {name: array}
    schedule(step) -> learning rate; batches(step) -> batch; multipliers(step) -> {name: factor} or None
    configuration: a dict that a checkpoint must agree with
    after_step(steps done, params): called before a checkpoint could hold the step, so that whatever it writes is there
    when a run goes on behind it; after a kill the same step may be done, and written, twice
    best: a BestCheckpoint that after_step adds to, or None; then the final checkpoint holds its parameters
    -> Finished. OtherConfiguration where a checkpoint is of another configuration, DamagedRun where a file that belongs
    to it has changed; TrainingDiverged where the loss is not finite; KeyboardInterrupt, after saving a checkpoint, on
    Ctrl-C.
    """
    stage = StageFolder(folder, configuration)
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
        say(f"{name}: going on from step {first}")

    start = saved = time.perf_counter()

    def spent():
        return before + time.perf_counter() - start

    def save(step):
        state = {f"params.{key}": value for key, value in params.items()}
        state |= {f"optimizer.{key}": value for key, value in optimizer.state().items()}
        os.fsync(log.fileno())  # the checkpoint vouches for these lines, also after a power cut
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
            if done % log_every == 0 or done == total_steps:
                line = {"step": done, **losses, "learning_rate": rate, "gradient_norm": norm, "seconds": spent()}
                _write_line(log, line)
            if after_step:
                after_step(done, params)
            bar.update(f"loss {losses['loss']:.3f}")
            if interrupted:
                save(done)
                raise KeyboardInterrupt(f"{name}: stopped after step {done}; the same command goes on from here")
            if time.perf_counter() - saved > checkpoint_seconds and done < total_steps:
                save(done)
                saved = time.perf_counter()
        os.fsync(log.fileno())
    kept = best.parameters() if best else params
    stage.finish(kept, total_steps, spent(), best.state() if best else None)
    if best:
        best.remove()
    return Finished(spent(), total_steps)
