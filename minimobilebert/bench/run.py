"""`bench`: measure all parts with each number of threads against all installed libraries -> rows."""

import functools
from collections.abc import Callable
from typing import NamedTuple

from ..config import PRESETS
from ..kernels.runtime.backend import current_backend
from ..support.terminal import progress_bar
from .attention import attention
from .block import block
from .distilling import distillation, distillation_of_vectors
from .ladder import ladder
from .libraries import set_all_threads
from .measure import measure
from .memory import memory_of_step
from .models import inference
from .peak import measure_peak
from .products import nonorm_layers, products, products_bfloat16, relu_layers
from .products_int8 import linear_int8
from .sides import OURS, TORCH, library_of, ours_in
from .training import training


class Part(NamedTuple):
    """A part, as named by --only."""

    cases: Callable  # name -> cases
    count: int  # number of cases
    seconds: float  # approximate time of a case with one number of threads, on two cores; for the progress bar only


PARTS = {
    "matmul_forward": Part(products, 15, 0.6),
    "matmul_dx": Part(products, 15, 0.6),
    "matmul_dw": Part(products, 15, 0.6),
    "matmul_bfloat16": Part(products_bfloat16, 45, 1.5),
    "linear_int8": Part(linear_int8, 15, 1.0),
    "linear_relu": Part(relu_layers, 3, 1.0),
    "linear_residual_nonorm": Part(nonorm_layers, 3, 1.0),
    "attention_forward": Part(attention, 2, 2.0),
    "attention_forward_backward": Part(functools.partial(attention, backward=True), 2, 6.0),
    "block_forward": Part(block, 1, 3.0),
    "block_forward_backward": Part(functools.partial(block, backward=True), 1, 8.0),
    "inference_mobilebert": Part(functools.partial(inference, other=("bert-base", PRESETS["bert-base"])), 1, 15.0),
    "inference_bert_base": Part(functools.partial(inference, config=PRESETS["bert-base"]), 1, 20.0),
    "train_mobilebert": Part(training, 1, 75.0),
    "train_classroom_1": Part(training, 1, 5.0),
    "train_classroom_2": Part(training, 1, 14.0),
    "distil_minilm": Part(distillation, 1, 12.0),
    "distil_minilm_vectors": Part(distillation_of_vectors, 1, 12.0),
    "ladder": Part(ladder, 5, 1.0),
}
SIDES = ("numpy", "bert-base")  # the sides that need no further package
_WITH_MEMORY = "train_mobilebert"


class _Bar:
    """A progress bar in estimated seconds, because the times of the parts differ by a factor of a hundred."""

    def __init__(self, bar):
        self.bar, self.name, self.position, self.end, self.length, self.shown = bar, "", 0.0, 0.0, 0.0, 0

    def start_case(self, name, seconds):
        """Start the next case, and complete the previous one."""
        self.name, self.position, self.end, self.length = name, self.end, self.end + seconds, seconds
        self.step(0.0)

    def step(self, share):
        """Advance by a share of the case."""
        self.position = min(self.position + share * self.length, self.end)
        while self.shown < min(int(self.position), self.bar.total):
            self.shown += 1
            self.bar.update(self.name)


def _add_memory(rows, threads):
    """Add the peak memory, which does not depend on the number of threads, so we measure it once."""
    taken = {}
    for data in (row.data for row in rows if library_of(row.data["against"]) in (OURS, TORCH)):
        for key, side in (("ours_memory", ours_in(data["precision"])), ("theirs_memory", data["against"])):
            if side not in taken:
                taken[side] = memory_of_step(_WITH_MEMORY, side, threads)
            data[key] = taken[side]


def run(names, threads, sides, turns=None):
    """Measure these parts -> list of Row in the order of the parts, {number of threads: measured peak}

    threads: numbers of threads; sides: the installed libraries; turns: the number per case, or None for that of the
    case
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
                    bar.start_case(name, PARTS[name].seconds)
                    found += measure(case, count, able[count], turns, bar.step)
            if name == _WITH_MEMORY:
                _add_memory(found, max(threads))
            rows += found
        bar.start_case("done", total)
        bar.step(1.0)
    return rows, peaks
