"""The measured peak of this processor, against which kernels are given as percent."""

from ..kernels.jit import set_threads
from ..kernels.peak import multiply_again
from ..timing import times_in_turns

_SECONDS, _TURNS = 5e-3, 30


def measure_peak(threads):
    """Operations a second of register tiles that never wait for memory: the best of 30 short bursts."""
    set_threads(threads)
    multiply_again(10, threads)
    seconds = times_in_turns({"burst": lambda: multiply_again(200, threads)}, 3)["burst"].min()
    rounds = max(200, round(200 * _SECONDS / seconds))
    flops = multiply_again(rounds, threads)
    return flops / times_in_turns({"burst": lambda: multiply_again(rounds, threads)}, _TURNS)["burst"].min()
