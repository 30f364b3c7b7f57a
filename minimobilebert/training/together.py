"""What the ranks of a training stage agree on: the same settings, the same start, when to save and when to stop."""

import json
from typing import NamedTuple

import numpy as np

from .. import __version__
from ..distributed.communicator import RunWasFinished, gather, gather_bytes, send_dict
from .stage_folder import different_entry


class Start(NamedTuple):
    """Where a stage goes on."""

    step: int = 0
    seconds: float = 0.0
    finished: bool = False
    state: dict = {}  # of the optimiser


def check_same_stage(communicator, name, configuration):
    """ValueError, the same on every rank, unless all ranks train the same stage with the same settings."""
    described = {"stage": name, "version": __version__, "configuration": configuration}
    contents = gather_bytes(communicator, json.dumps(described).encode())
    if not contents[0]:  # rank 0 is at the end of its command: the run was finished already
        raise RunWasFinished
    for rank, content in enumerate(contents):
        if not content:
            raise ValueError(
                f"rank {rank}: found the end of its command, expected the stage {name} as on rank 0: give all ranks the"
                " same command"
            )
        difference = different_entry(json.loads(content), json.loads(contents[0]))
        if difference:
            field, on_rank, on_leader = difference
            raise ValueError(
                f"rank {rank}: found {field} = {on_rank}, expected {on_leader} as on rank 0: give all ranks the same"
                " command, the same files and the same version"
            )


def share_start(communicator, params, start):
    """Tell every rank where rank 0 starts -> Start, the same on every rank; `params` become rank 0's, in place"""
    everyone = range(communicator.size)
    numbers = {"step": np.array(start.step), "seconds": np.array(start.seconds), "finished": np.array(start.finished)}
    numbers = send_dict(communicator, numbers, 0, everyone)
    step, seconds, finished = (numbers[name].item() for name in ("step", "seconds", "finished"))
    if step:
        for name, array in send_dict(communicator, params, 0, everyone).items():
            params[name][...] = array
    return Start(step, seconds, finished, send_dict(communicator, start.state, 0, everyone))


def agreed(communicator, *flags):
    """Flags of which each is true if it is true on some rank -> tuple of bool"""
    if communicator.size == 1:
        return flags
    return tuple(np.any(gather(communicator, np.array(flags, bool)), axis=0).tolist())
