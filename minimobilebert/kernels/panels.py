"""Matrix products out of register tiles: what every fast kernel calls inside one thread.

    out[i, j] = finish(add[i, j] + start[j] + sum over k of a[i, k] * b[k, j])

A matrix is a place in a one-dimensional array: element i, k of a is a[a_at + i * a_row + k * a_k]. One compiled
kernel then serves every layout, and a part of a matrix is only another place.

b is given in panels of `width_of` columns, the width of a register tile (simd.py). A panel lies in memory as the tile
reads it, row after row. `pack_panel` copies a matrix there; of a last, narrower panel only the real columns count:
its tile is computed aside, and what comes of the others is left there.

The loops go through blocks of b (DEPTH_BLOCK rows, B_BLOCK_BYTES together) that stay in the second-level cache until
every row of a has met them. `finish` (finish.py) is what follows the product, done to each tile while it is still in
the first-level cache.
"""

from .finish import finish_tile
from .jit import jit
from .simd import TILE_ROWS, copy_vector, item_bytes, lanes_of, multiply_tile, transpose_block, width_of

DEPTH_BLOCK = 256  # rows of b in one block: the rows of a that one tile reads stay in the first-level cache
B_BLOCK_BYTES = 512 * 1024  # about half of a second-level cache
COPY_FROM = 192  # rows of a from which on a copy of b pays that lies as the tiles read it
COPY_FROM_TILES = 4  # tiles of a from which on that pays where a is packed too
TILES_AT_ONCE = 8  # tiles of a that are packed together


@jit
def panels_of(columns, like):
    """How many panels `columns` columns fill, the last one perhaps in part."""
    return (columns + width_of(like) - 1) // width_of(like)


@jit
def depth_blocks(depth):
    """In how many blocks, of about equal size, a sum over k goes. The order of additions hangs on it."""
    return (depth + DEPTH_BLOCK - 1) // DEPTH_BLOCK


@jit
def small_aside_of(like):
    """A tile: what `multiply_panels` needs of scratch memory for a packed b and an a that lies in its own rows."""
    return TILE_ROWS * width_of(like)


@jit
def tile_size_of(like):
    """Numbers of a packed tile of a. The gap between two keeps them from falling on the same lines of the cache."""
    return (DEPTH_BLOCK + 1) * lanes_of(like)


@jit
def packing_aside_of(like):
    """The same for a packed b and any a: TILES_AT_ONCE tiles of a are added."""
    return small_aside_of(like) + TILES_AT_ONCE * tile_size_of(like)


@jit
def aside_of(like):
    """The same for any a and b: a block of b is added."""
    return packing_aside_of(like) + B_BLOCK_BYTES // item_bytes(like) + 2 * DEPTH_BLOCK * width_of(like)


@jit
def pack_panel(b, b_at, b_k, b_column, depth, used, out, out_at):
    """out[k, j] = b[k, j] for j < used, any numbers in the other columns of the panel; k < depth"""
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
    # Where b is the transpose of a matrix in memory, whole blocks of lanes x lanes are turned in registers.
    turned_depth = depth // lanes * lanes if b_k == 1 else 0
    turned_columns = used // lanes * lanes
    if turned_columns < used and b_at + (turned_columns + lanes - 1) * b_column + depth <= b.size:
        turned_columns += lanes  # what follows in memory comes along; nobody looks at those columns
    for k in range(0, turned_depth, lanes):
        for j in range(0, turned_columns, lanes):
            transpose_block(b, b_at + j * b_column + k, b_column, out, out_at + k * width + j, width)
    for k in range(depth):
        filled = turned_columns if k < turned_depth else 0
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
def _pack_rows(b, b_at, b_panel, b_k, panels, depth, columns, out, out_at, out_panel):
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
def tile_height(rows):
    """Rows of every tile but the last: 20 rows are done as 10 + 10, which is faster than 14 + 6."""
    count = (rows + TILE_ROWS - 1) // TILE_ROWS
    return (rows + count - 1) // count


@jit
def _pack_tiles(a, a_at, a_k, rows, height, depth, out, out_at):
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


@jit
def multiply_panels(
    rows, a, a_at, a_row, a_k, depth, b, b_at, b_panel, b_k, columns, start, start_at, add, add_at, add_row,
    out, out_at, out_row, aside, aside_at, kind, kept, kept_at, kept_row, scale, shift, column,
):  # fmt: skip
    """out = finish(add + start + a @ b) in tiles; see the top of this file.

    b_panel is the distance between two panels of b, b_k between two rows of one. start [width zeros, then one number a
    column] is the same for every row; add_at = -1 adds nothing; add may be out. aside [aside_of] is scratch memory.
    kind, kept, scale, shift: see finish.py; column: the first column's place in start, scale and shift.
    """
    width, lanes = width_of(out), lanes_of(out)
    panels, blocks = panels_of(columns, out), depth_blocks(depth)
    a_aside = aside_at + TILE_ROWS * width
    b_aside = a_aside + TILES_AT_ONCE * tile_size_of(out)
    # dy.T @ x: both lie across their rows, a power of two apart as a rule, and would push each other out of the cache.
    copy = a_row == 1 and a_k > 1 and TILE_ROWS <= lanes
    copy_b = b_k != width and (rows >= COPY_FROM or (copy and rows > COPY_FROM_TILES * TILE_ROWS))
    height = tile_height(rows)
    step = max(1, B_BLOCK_BYTES // (item_bytes(out) * width * min(depth, DEPTH_BLOCK)))
    if not copy and 2 * rows * depth * item_bytes(out) <= B_BLOCK_BYTES:
        step = 1  # a is the small one: each panel of b is read once from wherever it is, and meets all rows
    for first in range(0, panels, step):
        for block in range(blocks):
            k0, k1 = depth * block // blocks, depth * (block + 1) // blocks
            y, y_at, y_panel, y_k = b, b_at + first * b_panel + k0 * b_k, b_panel, b_k
            if copy_b:
                _pack_rows(
                    b, y_at, b_panel, b_k, min(step, panels - first), k1 - k0, columns - first * width,
                    aside, b_aside, width * (k1 - k0) + lanes,
                )  # fmt: skip
                y, y_at, y_panel, y_k = aside, b_aside, width * (k1 - k0) + lanes, width
            packed = TILES_AT_ONCE
            for t0 in range(0, rows, height):
                tall = min(height, rows - t0)
                x, x_at, x_k = a, a_at + t0 * a_row + k0 * a_k, a_k
                if copy:
                    if packed == TILES_AT_ONCE:
                        more_rows = min(TILES_AT_ONCE * height, rows - t0)
                        _pack_tiles(a, x_at, a_k, more_rows, height, k1 - k0, aside, a_aside)
                        packed = 0
                    x, x_at, x_k = aside, a_aside + packed * tile_size_of(out), lanes
                    packed += 1
                for panel in range(first, min(first + step, panels)):
                    j0 = panel * width
                    place, used = out_at + t0 * out_row + j0, min(width, columns - j0)
                    begin = start_at + width + column + j0 if block == 0 else start_at
                    more, more_at, more_row = add, add_at + t0 * add_row + j0 if add_at >= 0 else -1, add_row
                    if block > 0:
                        more, more_at, more_row = out, place, out_row
                    b_tile = y_at + (panel - first) * y_panel
                    if used == width:
                        multiply_tile(
                            tall, x, x_at, a_row, x_k, y, b_tile, y_k, k1 - k0, start, begin,
                            more, more_at, more_row, out, place, out_row,
                        )  # fmt: skip
                    else:
                        multiply_tile(
                            tall, x, x_at, a_row, x_k, y, b_tile, y_k, k1 - k0, start, begin,
                            more, -1, 0, aside, aside_at, width,
                        )  # fmt: skip
                        for i in range(tall):
                            for j in range(used):
                                product = aside[aside_at + i * width + j]
                                if more_at >= 0:
                                    product = more[more_at + i * more_row + j] + product
                                out[place + i * out_row + j] = product
                    if kind and block == blocks - 1:
                        finish_tile(
                            kind, tall, used, out, place, out_row,
                            kept, kept_at + t0 * kept_row + j0, kept_row, scale, shift, column + j0,
                        )  # fmt: skip
