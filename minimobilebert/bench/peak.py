"""The measured peak performance of this processor; kernels are reported in percent of it."""

from ..kernels.runtime.jit import set_threads
from ..kernels.teaching.peak import multiply_again
from ..support.timing import times_in_turns

_SECONDS, _TURNS = 5e-3, 60


def measure_peak(threads):
    """Floating-point operations per second of multiply-adds in registers: the best of many short bursts.

    A single thread determines the length of a burst, because other programs disturb it less.
    """
    set_threads(1)
    seconds = times_in_turns({"burst": lambda: multiply_again(200, 1)}, 3)["burst"].min()
    rounds = max(200, round(200 * _SECONDS / seconds))
    set_threads(threads)
    flops = multiply_again(rounds, threads)
    return flops / times_in_turns({"burst": lambda: multiply_again(rounds, threads)}, _TURNS)["burst"].min()
