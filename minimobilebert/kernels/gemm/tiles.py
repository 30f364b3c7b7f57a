"""The register tile of each kind of processor, and which one this process uses.

    MR x NR numbers of the output stay in vector registers while k runs (micro_kernel.py):

                   NR columns = V vectors            registers
                +--------+--------+                  R * V sums + V vectors of b + 1 number of a
       MR = R   |        |        |    AVX-512, 32 registers of 64 bytes:   14 * 2 + 2 + 1 = 31
         rows   |        |        |    AVX2,    16 registers of 32 bytes:    6 * 2 + 2 + 1 = 15
                |        |        |    NEON,    32 registers of 16 bytes:    8 * 3 + 3 + 1 = 28
                +--------+--------+

A step of k loads R numbers of a and V vectors of b for R * V vector multiply-adds (AVX-512: 16 loads for 28), so loads
never hold it up. The R * V independent sums hide the four clocks that each addition takes.
"""

import os
import platform
from typing import NamedTuple

import numpy as np

from ..runtime.jit import HAVE_NUMBA, jit_inline


class Tile(NamedTuple):
    vector_bytes: int  # size of one vector register
    rows: int  # R
    vectors: int  # V


# "plain": the same loops in Python that Numba compiles like any other, for every other processor.
TILES = {"avx512": Tile(64, 14, 2), "avx2": Tile(32, 6, 2), "neon": Tile(16, 8, 3), "plain": Tile(32, 4, 8)}


def _features():
    """What Numba will compile for, which the user may have narrowed (NUMBA_CPU_NAME, NUMBA_CPU_FEATURES) -> set"""
    if not HAVE_NUMBA:
        return set()
    from numba.core import codegen, config

    features = codegen.get_host_cpu_features() if config.CPU_FEATURES is None else config.CPU_FEATURES
    return set(features.split(","))


def _supported():
    """Names of the tiles this processor can run, best first."""
    if not HAVE_NUMBA:
        return ()
    if platform.machine().lower() in ("arm64", "aarch64"):
        return ("neon",)  # part of every 64-bit ARM processor
    features = _features()
    needs = {"avx512": {"+avx512f", "+avx512vl", "+fma"}, "avx2": {"+avx2", "+fma"}}
    return tuple(name for name, wanted in needs.items() if wanted <= features)


SUPPORTED = _supported()


def choose_path():
    """The tile to use, or "plain" for loops without explicit vectors; MINIMOBILEBERT_SIMD asks for a narrower one."""
    wanted = os.environ.get("MINIMOBILEBERT_SIMD", "")
    if wanted and wanted not in TILES:
        raise ValueError(f"MINIMOBILEBERT_SIMD: found {wanted!r}, expected one of {', '.join(TILES)}")
    if not wanted:
        return SUPPORTED[0] if SUPPORTED else "plain"
    return wanted if wanted in SUPPORTED else "plain"


PATH = choose_path()  # "avx512", "avx2", "neon" or "plain"
# Whether one instruction multiplies pairs of bfloat16 (bfloat16.py). Arm's bfdot rounds differently and is not used.
HAS_PAIRS = PATH == "avx512" and "+avx512bf16" in _features()
# Whether one instruction multiplies four bytes and adds the products (quads.py).
HAS_QUADS = PATH == "avx512" and "+avx512vnni" in _features() or PATH == "avx2" and "+avxvnni" in _features()
VECTOR_BYTES, MR, TILE_VECTORS = TILES[PATH]  # constants of the compiled kernels: see runtime/cache.py


@jit_inline
def item_bytes(like):
    """Bytes of a number or word: a constant to the compiler, where `like.itemsize` is read from memory."""
    if isinstance(like.dtype.type(0), np.float64):
        return 8
    else:
        return 4


@jit_inline
def lanes_of(like):
    """Numbers in one vector."""
    return VECTOR_BYTES // item_bytes(like)


@jit_inline
def nr_of(like):
    """NR: columns of one tile, and so of one panel."""
    return TILE_VECTORS * VECTOR_BYTES // item_bytes(like)
