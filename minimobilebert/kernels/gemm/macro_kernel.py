"""The macro-kernel: the loops of one thread around the micro-kernel, in blocks that stay in the caches.

    out[i, j] = epilogue(addend[i, j] + start[j] + sum over k of a[i, k] * b[k, j])

                columns              for each block of NC columns of b:
          +------+------+---+          for each block of KC rows of it:    B_BLOCK_BYTES of b in the second-level cache
      b   |  NC  |      |   | KC         pack b, where that pays
          +------+------+---+            for each tile of MR rows of a:    its rows of a in the first-level cache
      a   +------+------+---+              for each panel of NR columns:
      MR  | tile |      |   |  out           micro-kernel over KC          MR x NR sums in registers
          +------+------+---+                after the last KC: epilogue   the tile in the first-level cache

A matrix is an offset in a one-dimensional array and two strides: element i, k of a is a[a_at + i * a_row + k * a_k].
One compiled kernel then serves every layout, and a part of a matrix is another offset.

b is given in panels (packing.py), or read where it is if its rows are contiguous. The last panel may be partial: the
micro-kernel then computes a full tile in the workspace, and only the valid columns are copied to the output.
"""

from ..runtime.jit import jit
from .epilogue import apply_epilogue
from .micro_kernel import TILE_ROWS, item_bytes, lanes_of, micro_kernel, width_of
from .packing import DEPTH_BLOCK, pack_a_tiles, pack_b_block, panels_of, tile_height, tile_size_of

B_BLOCK_BYTES = 512 * 1024  # about half of a second-level cache
COPY_FROM = 192  # rows of a from which on packing b pays
COPY_FROM_TILES = 4  # tiles of a from which on that pays if a is packed too
TILES_AT_ONCE = 8  # tiles of a that are packed together


@jit
def depth_blocks(depth):
    """In how many blocks, of about equal size, a sum over k goes. The order of additions hangs on it."""
    return (depth + DEPTH_BLOCK - 1) // DEPTH_BLOCK


@jit
def small_workspace_size(like):
    """A tile: what `macro_kernel` needs of scratch memory for a packed b and an a whose rows are contiguous."""
    return TILE_ROWS * width_of(like)


@jit
def packing_workspace_size(like):
    """The same for a packed b and any a: TILES_AT_ONCE tiles of a are added."""
    return small_workspace_size(like) + TILES_AT_ONCE * tile_size_of(like)


@jit
def workspace_size(like):
    """The same for any a and b: a block of b is added."""
    return packing_workspace_size(like) + B_BLOCK_BYTES // item_bytes(like) + 2 * DEPTH_BLOCK * width_of(like)


@jit
def macro_kernel(
    rows, a, a_at, a_row, a_k, depth, b, b_at, b_panel, b_k, columns, start, start_at, add, add_at, add_row,
    out, out_at, out_row, workspace, workspace_at, kind, kept, kept_at, kept_row, scale, shift, column,
):  # fmt: skip
    """out = finish(add + start + a @ b) in tiles; see the top of this file.

    b_panel is the distance between two panels of b, b_k between two rows of one. start [NR zeros, then one number a
    column] is the same for every row; add_at = -1 adds nothing; add may be out. workspace [workspace_size] is scratch
    memory. kind, kept, scale, shift: see epilogue.py; column: the first column's offset in start, scale and shift.
    """
    width, lanes = width_of(out), lanes_of(out)
    panels, blocks = panels_of(columns, out), depth_blocks(depth)
    a_workspace = workspace_at + TILE_ROWS * width
    b_workspace = a_workspace + TILES_AT_ONCE * tile_size_of(out)
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
                pack_b_block(
                    b, y_at, b_panel, b_k, min(step, panels - first), k1 - k0, columns - first * width,
                    workspace, b_workspace, width * (k1 - k0) + lanes,
                )  # fmt: skip
                y, y_at, y_panel, y_k = workspace, b_workspace, width * (k1 - k0) + lanes, width
            packed = TILES_AT_ONCE
            for t0 in range(0, rows, height):
                mr = min(height, rows - t0)
                x, x_at, x_k = a, a_at + t0 * a_row + k0 * a_k, a_k
                if copy:
                    if packed == TILES_AT_ONCE:
                        more_rows = min(TILES_AT_ONCE * height, rows - t0)
                        pack_a_tiles(a, x_at, a_k, more_rows, height, k1 - k0, workspace, a_workspace)
                        packed = 0
                    x, x_at, x_k = workspace, a_workspace + packed * tile_size_of(out), lanes
                    packed += 1
                for panel in range(first, min(first + step, panels)):
                    j0 = panel * width
                    out_offset, used = out_at + t0 * out_row + j0, min(width, columns - j0)
                    begin = start_at + width + column + j0 if block == 0 else start_at
                    more, addend_at, addend_row = add, add_at + t0 * add_row + j0 if add_at >= 0 else -1, add_row
                    if block > 0:
                        more, addend_at, addend_row = out, out_offset, out_row
                    b_tile = y_at + (panel - first) * y_panel
                    if used == width:
                        micro_kernel(
                            mr, x, x_at, a_row, x_k, y, b_tile, y_k, k1 - k0, start, begin,
                            more, addend_at, addend_row, out, out_offset, out_row,
                        )  # fmt: skip
                    else:
                        micro_kernel(
                            mr, x, x_at, a_row, x_k, y, b_tile, y_k, k1 - k0, start, begin,
                            more, -1, 0, workspace, workspace_at, width,
                        )  # fmt: skip
                        for i in range(mr):
                            for j in range(used):
                                product = workspace[workspace_at + i * width + j]
                                if addend_at >= 0:
                                    product = more[addend_at + i * addend_row + j] + product
                                out[out_offset + i * out_row + j] = product
                    if kind and block == blocks - 1:
                        apply_epilogue(
                            kind, mr, used, out, out_offset, out_row,
                            kept, kept_at + t0 * kept_row + j0, kept_row, scale, shift, column + j0,
                        )  # fmt: skip
