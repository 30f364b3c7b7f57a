"""The same matrix product from slow to fast, one idea a rung. Kept whole because it is a lesson.

    out[i, j] = sum over k of a[i, k] * b[k, j]            a [M, K], b [K, N] -> out [M, N]

                b [K, N]                 b [K, N]                 b [K, N]
                   |                     --------->                =>=>=>=>=>
                   |                     one row                   four rows
                   v
    a  ------->    . out        a  .     --------->  out      a  ::   =>=>=>=>=>  out
       one row     one number      one   one row of out          2x4  two rows of out
    1. naive                    2. loop order                 3. register blocking

Every rung does the same M * N * K multiply-adds. What changes is how many of them one instruction does, and how often
it waits for memory:

    1. naive             one sum at a time                                                  below
    2. loop order        the inner loop walks along memory: vectors                         below
    3. register blocking each number that was read is used several times                    below
    4. packed panels and a tile in registers, written as vector instructions                matmul.py, one thread
    5. threads           every thread computes a part of the output                         matmul.py, all threads

`python -m minimobilebert bench --only ladder` measures them, beside the most that one core can do.
"""

import numpy as np

from ..multiply_add import multiply_add
from ..runtime.jit import jit


@jit
def multiply_naive(a, b, out):
    """Rung 1: the definition, a dot product for each number of the output.

    Two things are slow. The next number of b's column is a whole row away, so nearly every read of b brings in
    a new cache line for one number. And each addition waits for the one before: the compiler may not add in another
    order, because the result would round differently, so it does one multiply-add in four or five clocks.
    """
    rows, depth = a.shape
    for i in range(rows):
        for j in range(b.shape[1]):
            total = out.dtype.type(0.0)
            for k in range(depth):
                total += a[i, k] * b[k, j]
            out[i, j] = total


@jit
def multiply_loop_order(a, b, out):
    """Rung 2: the same additions with the loops over j and k exchanged.

    The inner loop now walks along a row of b and a row of out, neighbour by neighbour, and its additions do not depend
    on each other: the compiler does 8 or 16 of them with one vector instruction. Every number is still added up in the
    order of k. What is left: for each multiply-add a number of out is read and written again.
    """
    rows, depth = a.shape
    out[:, :] = 0.0
    for i in range(rows):
        for k in range(depth):
            number = a[i, k]
            for j in range(b.shape[1]):
                out[i, j] += number * b[k, j]


@jit
def _two_rows(a, b, out, i):
    """Rows i and i + 1 of the output, four steps of k at a time; the last K mod 4 steps one by one."""
    depth, columns = b.shape
    fours = depth // 4 * 4
    for k in range(0, fours, 4):
        x0, x1, x2, x3 = a[i, k], a[i, k + 1], a[i, k + 2], a[i, k + 3]
        y0, y1, y2, y3 = a[i + 1, k], a[i + 1, k + 1], a[i + 1, k + 2], a[i + 1, k + 3]
        for j in range(columns):
            b0, b1, b2, b3 = b[k, j], b[k + 1, j], b[k + 2, j], b[k + 3, j]
            x = multiply_add(x1, b1, multiply_add(x0, b0, out[i, j]))
            y = multiply_add(y1, b1, multiply_add(y0, b0, out[i + 1, j]))
            out[i, j] = multiply_add(x3, b3, multiply_add(x2, b2, x))
            out[i + 1, j] = multiply_add(y3, b3, multiply_add(y2, b2, y))
    for k in range(fours, depth):
        for j in range(columns):
            out[i, j] = multiply_add(a[i, k], b[k, j], out[i, j])
            out[i + 1, j] = multiply_add(a[i + 1, k], b[k, j], out[i + 1, j])


@jit
def multiply_register_blocking(a, b, out):
    """Rung 3: two rows and four steps of k at once, in plain loops.

    A number of out is read and written once for four multiply-adds, and a number of b serves two rows. The sums of four
    stay in registers. A larger block would be better still, but the compiler then runs out of registers and puts
    numbers back into memory: from here on it must be told which number is in which register: rung 4, micro_kernel.py.
    """
    rows, depth = a.shape
    out[:, :] = 0.0
    pairs = rows // 2 * 2
    for i in range(0, pairs, 2):
        _two_rows(a, b, out, i)
    for i in range(pairs, rows):
        for k in range(depth):
            for j in range(b.shape[1]):
                out[i, j] = multiply_add(a[i, k], b[k, j], out[i, j])


RUNGS = {
    "naive": multiply_naive,
    "loop order": multiply_loop_order,
    "register blocking": multiply_register_blocking,
}


def climb(rung, a, b):
    """One of the RUNGS, by name; a [M, K], b [K, N] of one type -> [M, N]"""
    out = np.empty((a.shape[0], b.shape[1]), a.dtype)
    RUNGS[rung](np.ascontiguousarray(a), np.ascontiguousarray(b), out)
    return out
