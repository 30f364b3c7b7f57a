"""The most multiply-adds a core can do: the register tile of the matrix product, fed from the first-level cache.

    a [MR, 128], b [128, NR]   first-level cache, the same again and again   ->   MR x NR sums in registers

A tile's rows of a and its panel of b are 24 KB together and stay in the first-level cache, so nothing waits for memory.
What a real product loses against this is the price of moving numbers. This is the "peak" of `bench`.
"""

import numpy as np

from ..gemm.micro_kernel import micro_kernel
from ..gemm.tiles import MR, TILE_VECTORS, VECTOR_BYTES
from ..gemm.views import nothing, view
from ..runtime.jit import jit_parallel, prange

DEPTH = 128  # steps of k in a tile
NR = TILE_VECTORS * VECTOR_BYTES // 4  # float32 columns of a tile


@jit_parallel
def _multiply_again(rounds, a, b, zeros, out):
    for part in prange(len(out)):
        tile = view(out, (np.int64(part), 0, 0), (MR, NR))
        for _ in range(rounds):
            micro_kernel(a, b, zeros, nothing(zeros), tile)


def multiply_again(rounds, threads):
    """Each of `threads` threads computes one tile `rounds` times -> floating-point operations done (float32)"""
    a, b = np.ones((MR, DEPTH), np.float32), np.ones((DEPTH, NR), np.float32)
    out = np.empty((threads, MR, NR), np.float32)
    _multiply_again(rounds, a, b, np.zeros(NR, np.float32), out)
    return 2 * rounds * DEPTH * out.size
