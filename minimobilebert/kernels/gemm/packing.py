"""Packing: copies of a and b in the order in which the micro-kernel reads them.

    b [K, N]                               panels [P, K, NR]: NR columns each, one panel after the other

      0 .. NR-1 | NR .. 2NR-1 | ..           b[0, 0..NR-1]  b[1, 0..NR-1]  ..  b[K-1, 0..NR-1]   panel 0
      ----------+-------------+---   ->      b[0, NR..]     b[1, NR..]     ..                    panel 1
          rows of b, one after another       ..

A panel is as wide as a register tile, so each step of k reads NR neighbouring numbers: one or a few cache lines, which
hold 16 float32 each. The last panel may be partial; it is filled up with zeros.

A transposed a (dy^T of dy^T x) is packed in tiles of the same kind: for each k one vector with the MR numbers of a
column. Where MR numbers are more than a vector (float64 with AVX-512, NEON), a is not packed.
"""

from ..runtime.jit import jit, jit_inline
from .tiles import MR, item_bytes, lanes_of, nr_of
from .vector_loops import copy_vector, transpose_block
from .views import strided, view

KC = 256  # rows of b in one block: the MR x KC numbers of a that a tile reads stay in the first-level cache


@jit
def panels_of(columns, like):
    """How many panels `columns` columns fill, the last one perhaps in part."""
    return (columns + nr_of(like) - 1) // nr_of(like)


@jit
def rows_of_tiles(rows):
    """Rows of every tile but the last: 20 rows are done as 10 + 10, which is faster than 14 + 6."""
    count = (rows + MR - 1) // MR
    return (rows + count - 1) // count


@jit_inline
def _vector(x, i, j):
    """x[i, j : j + lanes], neighbours in memory"""
    return view(x, (i, j), (lanes_of(x),))


@jit
def pack_panel(b, panel):
    """panel[k, j] = b[k, j] for the columns j that b [K, 1 ... NR] has, 0 for the others; panel [K, NR]"""
    depth, columns = b.shape
    nr, lanes = nr_of(b), lanes_of(b)
    if b.strides[1] == item_bytes(b) and columns == nr:
        for k in range(depth):
            for j in range(0, nr, lanes):
                copy_vector(_vector(b, k, j), _vector(panel, k, j))
        return
    # Where b is the transpose of a matrix in memory, whole blocks of lanes x lanes are transposed in registers.
    block_rows = depth // lanes * lanes if b.strides[0] == item_bytes(b) else 0
    block_columns = columns // lanes * lanes
    for k in range(0, block_rows, lanes):
        for j in range(0, block_columns, lanes):
            transpose_block(view(b, (k, j), (lanes, lanes)).T, view(panel, (k, j), (lanes, lanes)))
    for k in range(depth):
        for j in range(block_columns if k < block_rows else 0, columns):
            panel[k, j] = b[k, j]
        for j in range(columns, nr):
            panel[k, j] = 0


@jit_inline
def panels_in_place(b, count):
    """The columns of b [K, count * NR] as panels without a copy; neighbouring columns are neighbours in memory"""
    row = b.strides[0] // item_bytes(b)
    memory = view(b, (0, 0), (b.shape[1],))
    return strided(memory, 0, (count, b.shape[0], nr_of(b)), (nr_of(b), row, 1))


@jit
def copy_panels(panels, copies):
    """copies = panels [P, KC, NR], all panels of one k at a time: memory is read from front to back"""
    count, depth, _ = panels.shape
    lanes = lanes_of(panels)
    for k in range(depth):
        for p in range(count):
            for j in range(0, nr_of(panels), lanes):
                copy_vector(view(panels, (p, k, j), (lanes,)), view(copies, (p, k, j), (lanes,)))


@jit_inline
def tile_size_of(like):
    """Numbers of a packed tile of a. One unused row between two tiles keeps them off the same lines of the cache."""
    return (KC + 1) * lanes_of(like)


@jit
def pack_a_tiles(a, rows, tiles):
    """Some rows of a transposed matrix, as its tiles read them: tiles[t, k, i] = a[t * rows + i, k]; a [M, KC]"""
    lanes = lanes_of(a)
    for k in range(a.shape[1]):
        # A tile's vector may reach beyond the M numbers into those of the next k: nothing reads these lanes.
        reach = a.shape[0] + lanes if k + 1 < a.shape[1] and lanes * item_bytes(a) <= a.strides[1] else a.shape[0]
        t = 0
        for i0 in range(0, a.shape[0], rows):
            if i0 + lanes <= reach:
                copy_vector(_vector(a.T, k, i0), view(tiles, (t, k, 0), (lanes,)))
            else:
                for i in range(min(rows, a.shape[0] - i0)):
                    tiles[t, k, i] = a[i0 + i, k]
            t += 1
