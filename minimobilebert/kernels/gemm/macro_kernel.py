"""The macro-kernel: the loops of one thread around the micro-kernel, in blocks that stay in the caches.

    out[i, j] = epilogue(addend[i, j] + bias[j] + sum over k of a[i, k] * b[k, j])

                  N columns            for each block of NC columns of b:
          +------+------+---+            for each block of KC rows of it:    B_BLOCK_BYTES, second-level cache
      b   |  NC  |      |   | KC           copy the block, where many rows of a read it
          +------+------+---+              for each tile of MR rows of a:    its rows of a, first-level cache
      a   +------+------+---+                pack a, where that pays
      MR  | tile |      |   |  out           for each panel of NR columns:
          +------+------+---+                  micro-kernel over KC          MR x NR sums in registers
                                               after the last KC: epilogue   the tile, first-level cache

b comes in panels [P, K, NR] (packing.py), packed or read in place. Blocks of KC rows are added in order: the first one
to bias, the others to what is in out.
"""

from ..runtime.by_address import by_address
from ..runtime.by_kind import by_kind
from ..runtime.jit import jit, jit_inline
from .bfloat16 import pack_a_tiles_in_pairs, pair_rows_of
from .epilogue import apply_epilogue
from .micro_kernel import micro_kernel
from .packing import KC, copy_panels, pack_a_tiles, rows_of_tiles
from .tiles import MR, item_bytes, lanes_of, nr_of
from .views import block_of, holds_words, nothing, strided, view
from .workspace import B_BLOCK_BYTES, TILES_AT_ONCE

PACK_B_ROWS = 192  # rows of a from which on packing b pays
PACK_B_TILES = 4  # tiles of a from which on that pays if a is packed too


@jit
def depth_blocks(depth):
    """In how many blocks, of about equal size, a sum over K goes. The order of additions depends on it."""
    return (depth + KC - 1) // KC


@jit_inline
def _packs_a(a, workspace):
    """dy^T @ x: a's columns are rows in memory, mostly a power of two apart, and push each other out of the cache."""
    item = item_bytes(a)
    return a.strides[0] == item and a.strides[1] > item and MR <= lanes_of(a) and workspace.a_tiles.shape[0] > 0


@jit_inline
def _panels_at_once(rows, depth, copies_a, like):
    """NC / NR: panels whose KC rows fill B_BLOCK_BYTES; 1 where a is the small matrix, so that b is read once."""
    if not copies_a and 2 * rows * depth * item_bytes(like) <= B_BLOCK_BYTES:
        return 1
    return max(1, B_BLOCK_BYTES // (item_bytes(like) * nr_of(like) * min(depth, KC)))


@jit_inline
def _tile(a, b, start, addend, out, whole):
    """out = addend + (start + a @ b) for a whole or partial tile; whole [MR, NR]: memory for a whole one"""
    rows, columns = out.shape
    if columns == nr_of(out):
        micro_kernel(a, b, start, addend, out)
        return
    # A partial tile is computed whole; only its valid columns are copied to the output.
    micro_kernel(a, b, start, nothing(start), view(whole, (0, 0), (rows, nr_of(out))))
    for i in range(rows):
        for j in range(columns):
            out[i, j] = addend[i, j] + whole[i, j] if addend.shape[0] > 0 else whole[i, j]


@jit_inline
def _bias_of_panel(bias, j, columns, workspace):
    """The `columns` numbers of bias from j on, filled up to NR where there are fewer; zeros where there is no bias."""
    if bias.size == 0:
        return workspace.zeros
    if columns == nr_of(bias):
        return view(bias, (j,), (nr_of(bias),))
    for n in range(columns):
        workspace.bias[n] = bias[j + n]
    return workspace.bias


@jit_inline
def _packs_b(panels, rows, packs_a, workspace):
    """Whether a block of b is copied before its rows are read many times; b in packed panels needs no copy."""
    packed = panels.strides[1] == nr_of(panels) * item_bytes(panels)
    if packed or workspace.b_block.size == 0:
        return False
    return rows >= PACK_B_ROWS or (packs_a and rows > PACK_B_TILES * MR)


@jit_inline
def _block_of_b(panels, p0, k0, shape, packs_b, workspace):
    """Rows k0 ... of the panels p0 ..., as they are or copied -> [count, KC, NR]; shape: count, KC"""
    count, kc = shape
    nr = nr_of(panels)
    b = view(panels, (p0, k0, 0), (count, kc, nr))
    if packs_b:
        copies = strided(workspace.b_block, 0, (count, kc, nr), (nr * kc + lanes_of(panels), nr, 1))
        copy_panels(b, copies)
        b = copies
    return b


@jit_inline
def _tile_of_numbers(a, i0, k0, shape, tile_rows, packs_a, a_rows, a_tiles):
    """Rows i0 ... and columns k0 ... of a, as they are or packed, TILES_AT_ONCE tiles at a time -> [mr, KC]"""
    mr, kc = shape
    a_tile = view(a, (i0, k0), (mr, kc))
    if packs_a:
        t = i0 // tile_rows % TILES_AT_ONCE
        if t == 0:
            rows = min(TILES_AT_ONCE * tile_rows, a.shape[0] - i0)
            pack_a_tiles(view(a, (i0, k0), (rows, kc)), tile_rows, a_tiles)
        a_tile = view(a_tiles, (t, 0, 0), (kc, mr)).T
    return a_tile


@jit_inline
def _tile_of_pairs(a, i0, k0, shape, tile_rows, packs_a, a_rows, a_tiles):
    """The same in words (bfloat16.py), of which each holds two columns of a; k0 and kc count words"""
    mr, kc = shape
    numbers = min(2 * kc, a.shape[1] - 2 * k0)
    if packs_a:
        t = i0 // tile_rows % TILES_AT_ONCE
        if t == 0:
            rows = min(TILES_AT_ONCE * tile_rows, a.shape[0] - i0)
            pack_a_tiles_in_pairs(view(a, (i0, 2 * k0), (rows, numbers)), tile_rows, a_tiles)
        return view(a_tiles, (t, 0, 0), (kc, mr)).T
    words = view(a_rows, (0, 0), (mr, kc))
    pair_rows_of(view(a, (i0, 2 * k0), (mr, numbers)), words)
    return words


_tile_of_a = by_kind(numbers=_tile_of_numbers, words=_tile_of_pairs)


@by_address("matrix operand_panels numbers matrix matrix epilogue workspace")
def macro_kernel(a, panels, bias, addend, out, epilogue, workspace):
    """out = epilogue(addend + bias + a @ b); see the top of this file.

    a [M, K] with any strides; panels [P, K, NR] of b [K, N]; bias [N] or [0]; addend [M, N] or no rows, may be out;
    out [M, N]. addend and out have neighbouring columns. epilogue: an Epilogue; workspace: a Workspace.
    """
    rows, depth = a.shape[0], panels.shape[1]
    columns, nr, blocks = out.shape[1], nr_of(out), depth_blocks(depth)
    packs_a = _packs_a(a, workspace)
    packs_b = _packs_b(panels, rows, packs_a, workspace)
    copies_a = packs_a or holds_words(workspace.a_tiles)
    tile_rows, at_once = rows_of_tiles(rows), _panels_at_once(rows, depth, copies_a, out)
    if packs_b:  # copies of panels have a gap of `lanes` between them, which counts where K is small
        at_once = min(at_once, workspace.b_block.size // (nr * min(depth, KC) + lanes_of(out)))
    for p0 in range(0, panels.shape[0], at_once):  # NC columns of b
        count = min(at_once, panels.shape[0] - p0)
        for block in range(blocks):  # KC rows of b
            k0 = depth * block // blocks
            kc = depth * (block + 1) // blocks - k0
            b = _block_of_b(panels, p0, k0, (count, kc), packs_b, workspace)
            for i0 in range(0, rows, tile_rows):  # MR rows of a
                mr = min(tile_rows, rows - i0)
                a_tile = _tile_of_a(a, i0, k0, (mr, kc), tile_rows, packs_a, workspace.a_rows, workspace.a_tiles)
                for p in range(count):  # NR columns of b
                    j0 = (p0 + p) * nr
                    shape = (mr, min(nr, columns - j0))
                    out_tile = view(out, (i0, j0), shape)
                    start, addend_tile = workspace.zeros, out_tile
                    if block == 0:
                        start = _bias_of_panel(bias, j0, shape[1], workspace)
                        addend_tile = block_of(addend, i0, j0, shape)
                    _tile(a_tile, view(b, (p, 0, 0), (kc, nr)), start, addend_tile, out_tile, workspace.tile)
                    if epilogue.kind and block == blocks - 1:
                        apply_epilogue(epilogue, out_tile, i0, j0)
