"""Packing: copies of a and b that lie in memory in the order in which the micro-kernel reads them.

    b [depth, columns]                     panels of NR columns, one after the other

      0 .. NR-1 | NR .. 2NR-1 | ..           b[0, 0..NR-1]  b[1, 0..NR-1]  ..  b[depth-1, 0..NR-1]   panel 0
      ----------+-------------+---   ->      b[0, NR..]     b[1, NR..]     ..                        panel 1
          rows of b, one after another       ..

A panel is as wide as a register tile, so each step of k reads NR neighbouring numbers: one or a few cache lines, which
hold 16 float32 each. The last panel may be partial; only its valid columns are copied, the rest is any number.

A transposed a (dy^T of dy^T x) is packed in tiles of the same kind: for each k the MR numbers of one column.
"""

from ..runtime.jit import jit
from .micro_kernel import TILE_ROWS, copy_vector, lanes_of, transpose_block, width_of

DEPTH_BLOCK = 256  # KC: rows of b in one block; the rows of a that one tile reads stay in the first-level cache


@jit
def panels_of(columns, like):
    """How many panels `columns` columns fill, the last one perhaps in part."""
    return (columns + width_of(like) - 1) // width_of(like)


@jit
def tile_height(rows):
    """Rows of every tile but the last: 20 rows are done as 10 + 10, which is faster than 14 + 6."""
    count = (rows + TILE_ROWS - 1) // TILE_ROWS
    return (rows + count - 1) // count


@jit
def tile_size_of(like):
    """Numbers of a packed tile of a. The gap between two keeps them from falling on the same lines of the cache."""
    return (DEPTH_BLOCK + 1) * lanes_of(like)


@jit
def pack_panel(b, b_at, b_k, b_column, depth, used, out, out_at):
    """out[k, j] = b[k, j] for j < used; the other columns of the panel are 0 or what follows in memory; k < depth"""
    width, lanes = width_of(b), lanes_of(b)
    if b_column == 1:
        for k in range(depth):
            here, there = b_at + k * b_k, out_at + k * width
            if used == width:
                for j in range(0, width, lanes):
                    copy_vector(b, here + j, out, there + j)
                continue
            for j in range(used):
                out[there + j] = b[here + j]
            for j in range(used, width):
                out[there + j] = 0
        return
    # Where b is the transpose of a matrix in memory, whole blocks of lanes x lanes are transposed in registers.
    transposed_depth = depth // lanes * lanes if b_k == 1 else 0
    transposed_columns = used // lanes * lanes
    if transposed_columns < used and b_at + (transposed_columns + lanes - 1) * b_column + depth <= b.size:
        transposed_columns += lanes  # copies what follows in memory too: nothing reads those columns
    for k in range(0, transposed_depth, lanes):
        for j in range(0, transposed_columns, lanes):
            transpose_block(b, b_at + j * b_column + k, b_column, out, out_at + k * width + j, width)
    for k in range(depth):
        filled = transposed_columns if k < transposed_depth else 0
        for j in range(filled, used):
            out[out_at + k * width + j] = b[b_at + k * b_k + j * b_column]
        for j in range(max(filled, used), width):
            out[out_at + k * width + j] = 0


@jit
def pack_panels(b, b_at, b_k, b_column, depth, columns, out, out_at):
    """All columns of b [depth, columns] as panels, one after the other."""
    width = width_of(b)
    for panel in range(panels_of(columns, b)):
        j = panel * width
        pack_panel(b, b_at + j * b_column, b_k, b_column, depth, min(width, columns - j), out, out_at + j * depth)


@jit
def pack_b_block(b, b_at, b_panel, b_k, panels, depth, columns, out, out_at, out_panel):
    """Rows of b as panels, all panels of a row at once: memory is read in the order in which it lies."""
    width, lanes = width_of(b), lanes_of(b)
    for k in range(depth):
        for panel in range(panels):
            here, there = b_at + panel * b_panel + k * b_k, out_at + panel * out_panel + k * width
            if (panel + 1) * width <= columns:
                for j in range(0, width, lanes):
                    copy_vector(b, here + j, out, there + j)
            else:
                for j in range(width):
                    out[there + j] = b[here + j] if panel * width + j < columns else 0


@jit
def pack_a_tiles(a, a_at, a_k, rows, height, depth, out, out_at):
    """Some rows of a transposed matrix, as its tiles read them: out[tile, k * lanes + i] = a[tile * height + i, k]"""
    lanes, step = lanes_of(a), tile_size_of(a)
    for k in range(depth):
        here, there = a_at + k * a_k, out_at + k * lanes
        for row in range(0, rows, height):
            if here + row + lanes <= a.size:
                copy_vector(a, here + row, out, there)
            else:  # the last numbers in memory
                for i in range(min(height, rows - row)):
                    out[there + i] = a[here + row + i]
            there += step
