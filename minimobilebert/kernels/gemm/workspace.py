"""Workspace: the scratch memory of one thread in a matrix product.

      memory, one dimension
      +-------+------+---------+-------------------------------+----------------------------------+
      | zeros | bias |  tile   |  a_tiles                      |  b_block                         |
      |  NR   |  NR  | MR x NR |  TILES_AT_ONCE tiles of a     |  B_BLOCK_BYTES of b in panels    |
      +-------+------+---------+-------------------------------+----------------------------------+
      '---- for every product -'--- to pack a as well ---------'--- to pack b as well ------------'

A product packs only what its workspace has room for. `a_rows` is the memory of `a_tiles` in another order.
"""

from typing import NamedTuple

import numpy as np

from ..runtime.by_address import passed_as
from ..runtime.jit import jit, jit_inline
from .packing import KC, tile_size_of
from .tiles import MR, item_bytes, lanes_of, nr_of
from .views import in_words, strided, view

TILES_AT_ONCE = 8  # tiles of a that are packed together
B_BLOCK_BYTES = 512 * 1024  # about half of a second-level cache


@passed_as("workspace", "int numbers numbers matrix operand_panels operand_matrix operands")
class Workspace(NamedTuple):
    macro_at: int  # the address of the macro-kernel that works here
    zeros: np.ndarray  # [NR]
    bias: np.ndarray  # [NR], for a partial panel
    tile: np.ndarray  # [MR, NR], for a partial tile
    a_tiles: np.ndarray  # [TILES_AT_ONCE or 0, KC, lanes]: columns of a one after the other
    a_rows: np.ndarray  # [MR, KC], the same memory: rows of a one after the other, for words
    b_block: np.ndarray  # one dimension


@jit_inline
def tile_workspace_size(like):
    """Numbers of memory that every product needs."""
    return (2 + MR) * nr_of(like)


@jit_inline
def a_workspace_size(like):
    """The same to pack a as well."""
    return tile_workspace_size(like) + TILES_AT_ONCE * tile_size_of(like)


@jit_inline
def full_workspace_size(like):
    """The same to pack a and b."""
    return a_workspace_size(like) + B_BLOCK_BYTES // item_bytes(like) + 2 * KC * nr_of(like)


@jit_inline
def as_operands(x, like):
    """The same memory as numbers, or as words where `like` has words (bfloat16.py)"""
    if isinstance(like.dtype.type(0), np.uint32):
        return in_words(x)
    else:
        return x


@jit
def workspace_in(memory, operands, macro_at):
    """memory [one of the sizes above] -> Workspace; operands: an array of the type that the product reads

    macro_at: the address of the macro-kernel for these types
    """
    nr, lanes = nr_of(memory), lanes_of(memory)
    zeros = view(memory, (0,), (nr,))
    for j in range(nr):
        zeros[j] = 0
    tiles = TILES_AT_ONCE if memory.size >= a_workspace_size(memory) else 0
    tile = strided(memory, 2 * nr, (MR, nr), (nr, 1))
    a_tiles = strided(memory, tile_workspace_size(memory), (tiles, KC, lanes), (tile_size_of(memory), lanes, 1))
    a_rows = strided(memory, tile_workspace_size(memory), (MR if tiles else 0, KC), (KC + lanes, 1))
    b_start = min(memory.size, a_workspace_size(memory))
    b_block = view(memory, (b_start,), (memory.size - b_start,))
    bias = view(memory, (nr,), (nr,))
    a_tiles, a_rows = as_operands(a_tiles, operands), as_operands(a_rows, operands)
    return Workspace(macro_at, zeros, bias, tile, a_tiles, a_rows, as_operands(b_block, operands))
