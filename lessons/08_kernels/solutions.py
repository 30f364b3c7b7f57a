"""Lesson 08 as a student would write it; never part of a student edition. Mutants are made from these."""


def multiply_loop_order(a, b, out):
    rows, depth = a.shape
    columns = b.shape[1]
    out[:, :] = 0
    for i in range(rows):
        for k in range(depth):
            x = a[i, k]
            for j in range(columns):
                out[i, j] += x * b[k, j]


def multiply_register_blocking(a, b, out):
    rows, depth = a.shape
    columns = b.shape[1]
    out[:, :] = 0
    whole = depth - depth % 4
    for i in range(0, rows - 1, 2):
        for k in range(0, whole, 4):
            x0, x1, x2, x3 = a[i, k], a[i, k + 1], a[i, k + 2], a[i, k + 3]
            y0, y1, y2, y3 = a[i + 1, k], a[i + 1, k + 1], a[i + 1, k + 2], a[i + 1, k + 3]
            for j in range(columns):
                b0, b1, b2, b3 = b[k, j], b[k + 1, j], b[k + 2, j], b[k + 3, j]
                out[i, j] += x0 * b0 + x1 * b1 + x2 * b2 + x3 * b3
                out[i + 1, j] += y0 * b0 + y1 * b1 + y2 * b2 + y3 * b3
        for k in range(whole, depth):
            x, y = a[i, k], a[i + 1, k]
            for j in range(columns):
                number = b[k, j]
                out[i, j] += x * number
                out[i + 1, j] += y * number
    if rows % 2:
        last = rows - 1
        for k in range(depth):
            x = a[last, k]
            for j in range(columns):
                out[last, j] += x * b[k, j]


def pack_panel(b, panel):
    depth, columns = b.shape
    for k in range(depth):
        for j in range(columns):
            panel[k, j] = b[k, j]
        for j in range(columns, panel.shape[1]):
            panel[k, j] = 0
