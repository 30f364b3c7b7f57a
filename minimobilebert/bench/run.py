"""`bench`: every part, with every number of threads, beside every library that is installed -> rows."""

import functools
from collections.abc import Callable
from typing import NamedTuple

from ..config import PRESETS
from ..kernels.runtime.backend import current_backend
from ..support.terminal import progress_bar
from .attention import attention
from .block import block
from .ladder import ladder
from .libraries import set_all_threads
from .measure import measure
from .memory import memory_of_step
from .models import inference
from .peak import measure_peak
from .products import nonorm_layers, products, relu_layers
from .training import training


class Part(NamedTuple):
    """What a name of --only stands for."""

    cases: Callable  # name -> cases
    count: int  # how many there are
    seconds: float  # about how long one takes with one number of threads, on two cores; for the progress bar only


PARTS = {
    "matmul_forward": Part(products, 15, 0.6),
    "matmul_dx": Part(products, 15, 0.6),
    "matmul_dw": Part(products, 15, 0.6),
    "linear_relu": Part(relu_layers, 3, 1.0),
    "linear_residual_nonorm": Part(nonorm_layers, 3, 1.0),
    "attention_forward": Part(attention, 2, 2.0),
    "attention_forward_backward": Part(functools.partial(attention, backward=True), 2, 6.0),
    "block_forward": Part(block, 1, 3.0),
    "block_forward_backward": Part(functools.partial(block, backward=True), 1, 8.0),
    "inference_mobilebert": Part(functools.partial(inference, other=("bert-base", PRESETS["bert-base"])), 1, 15.0),
    "inference_bert_base": Part(functools.partial(inference, config=PRESETS["bert-base"]), 1, 20.0),
    "train_mobilebert": Part(training, 1, 35.0),
    "train_classroom_1": Part(training, 1, 3.0),
    "train_classroom_2": Part(training, 1, 9.0),
    "ladder": Part(ladder, 5, 1.0),
}
SIDES = ("numpy", "bert-base")  # what needs no further package
_WITH_MEMORY = "train_mobilebert"


class _Bar:
    """A progress bar in seconds of the parts' estimates: parts differ a hundredfold, so counting them would mislead."""

    def __init__(self, bar):
        self.bar, self.name, self.at, self.end, self.length, self.shown = bar, "", 0.0, 0.0, 0.0, 0

    def begin(self, name, seconds):
        """The next case; the one before is over, however many turns it had."""
        self.name, self.at, self.end, self.length = name, self.end, self.end + seconds, seconds
        self.step(0.0)

    def step(self, share):
        """This share of the case is done."""
        self.at = min(self.at + share * self.length, self.end)
        while self.shown < min(int(self.at), self.bar.total):
            self.shown += 1
            self.bar.update(self.name)


def _add_memory(rows, threads):
    """Peak memory belongs to the work, not to the number of threads: measured once, with the most."""
    sides = {row.data["against"] for row in rows} & {"torch"}
    if sides:
        taken = {side: memory_of_step(_WITH_MEMORY, side, threads) for side in ("ours", *sides)}
        for row in rows:
            if row.data["against"] in sides:
                row.data.update(ours_memory=taken["ours"], theirs_memory=taken[row.data["against"]])


def run(names, threads, sides, turns=None):
    """Measure these parts -> list of Row in the order of the parts, {number of threads: measured peak}

    threads: numbers of threads; sides: the other libraries that are there; turns: how many for every case, or None
    for as many as each case has.
    """
    if current_backend() != "numba":
        raise ValueError(f"bench: found back end {current_backend()!r}, expected 'numba', which is what is measured")
    sides, rows = (*SIDES, *sides), []
    total = 1 + int(sum(PARTS[name].count * PARTS[name].seconds for name in names) * len(threads))
    peaks = {count: measure_peak(count) for count in threads}
    able = {count: set_all_threads(count, sides) for count in threads}
    with progress_bar("bench", total) as shown:
        bar = _Bar(shown)
        for name in names:
            found = []
            for case in PARTS[name].cases(name):
                for count in threads:
                    set_all_threads(count, able[count])
                    bar.begin(name, PARTS[name].seconds)
                    found += measure(case, count, able[count], turns, bar.step)
            if name == _WITH_MEMORY:
                _add_memory(found, max(threads))
            rows += found
        bar.begin("done", total)
        bar.step(1.0)
    return rows, peaks
