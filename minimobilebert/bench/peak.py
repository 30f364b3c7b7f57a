"""The measured peak of this processor, against which kernels are given as percent."""

from ..kernels.runtime.jit import set_threads
from ..kernels.teaching.peak import multiply_again
from ..support.timing import times_in_turns

_SECONDS, _TURNS = 5e-3, 60


def measure_peak(threads):
    """Operations a second of register tiles that never wait for memory: the best of many short bursts.

    How long a burst is comes from one thread alone, which is less disturbed where other programs run.
    """
    set_threads(1)
    seconds = times_in_turns({"burst": lambda: multiply_again(200, 1)}, 3)["burst"].min()
    rounds = max(200, round(200 * _SECONDS / seconds))
    set_threads(threads)
    flops = multiply_again(rounds, threads)
    return flops / times_in_turns({"burst": lambda: multiply_again(rounds, threads)}, _TURNS)["burst"].min()
