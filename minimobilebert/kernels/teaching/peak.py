"""The most multiply-adds a core can do: the register tile of the matrix product, fed from the first-level cache.

A tile's rows of a and its panel of b are 24 KB together and stay in the first-level cache, so nothing waits for memory.
What a real product loses against this is the price of moving numbers. This is the "peak" of `bench`.
"""

import numpy as np

from ..gemm.micro_kernel import TILE_ROWS, TILE_VECTORS, VECTOR_BYTES, micro_kernel
from ..runtime.jit import jit_parallel, prange

DEPTH = 128  # steps of k in a tile
WIDTH = TILE_VECTORS * VECTOR_BYTES // 4  # float32 columns of a tile


@jit_parallel
def _multiply_again(rounds, a, b, start, out):
    for part in prange(out.size // (TILE_ROWS * WIDTH)):
        for _ in range(rounds):
            micro_kernel(
                TILE_ROWS, a, 0, DEPTH, 1, b, 0, WIDTH, DEPTH, start, 0, start, -1, 0, out, part * TILE_ROWS * WIDTH,
                WIDTH,
            )  # fmt: skip


def multiply_again(rounds, threads):
    """Each of `threads` threads computes one tile `rounds` times -> floating-point operations done (float32)"""
    a, b = np.ones(TILE_ROWS * DEPTH, np.float32), np.ones(DEPTH * WIDTH, np.float32)
    out = np.empty(threads * TILE_ROWS * WIDTH, np.float32)
    _multiply_again(rounds, a, b, np.zeros(WIDTH, np.float32), out)
    return 2 * rounds * DEPTH * out.size
