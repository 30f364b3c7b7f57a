"""Principal directions of a table of vectors: a narrower word table starts with what varies most in the teacher's.

    1. C = X^T X / N                    X [N, D]: the word table; its eigenvectors are the principal directions
    2. C = V diag(w) V^T                Jacobi's method: rotate pairs of coordinates until C is diagonal
    3. the K columns of V with the largest eigenvalues w; sum of these w / sum of all w is the share that is kept

LAPACK's eigenvectors differ between libraries and processors in their last digits and in their signs, and training
would too. Jacobi's method needs only multiplications, additions and square roots of single numbers, which IEEE 754
fixes to the last bit. A rotation by an angle t in the plane of coordinates p and q makes C[p, q] zero (Golub and Van
Loan, "Matrix Computations", Section 8.5):

    tau = (C[q, q] - C[p, p]) / (2 C[p, q])        tan = sign(tau) / (|tau| + sqrt(1 + tau^2))
    cos = 1 / sqrt(1 + tan^2)                      sin = tan * cos

Later rotations disturb this zero, but the sum of squares off the diagonal shrinks with each of them, at last
quadratically. D/2 disjoint pairs are rotated at once; after D - 1 such rounds every coordinate met every other one:

    round 1    0 1 2 3        round 2    0 7 1 2        coordinate 0 stays, the others move on by one;
               7 6 5 4                   6 5 4 3        the pairs are the columns
"""

import math

import numpy as np

from ..ops.matmul import matmul

SWEEPS = 30  # at most; about 10 are needed
_SMALL = 1e-13  # an off-diagonal number below this share of the largest eigenvalue counts as zero


def _rotations(p, q, off):
    """cos and sin of the rotations that make `off` zero; p, q: diagonal [D/2], off: C[p, q] [D/2] -> cos, sin"""
    safe = np.where(off == 0.0, 1.0, off)
    tau = (q - p) / (2.0 * safe)
    tan = np.where(tau < 0.0, -1.0, 1.0) / (np.abs(tau) + np.sqrt(1.0 + tau * tau))
    tan = np.where(off == 0.0, 0.0, tan)
    cos = 1.0 / np.sqrt(1.0 + tan * tan)
    return cos, tan * cos


def _rotate_rows(x, cos, sin):
    """Rotate row i with row i + D/2; x [D, M], cos and sin [D/2] -> [D, M], the rows in the next round's order"""
    half = len(x) // 2
    cos, sin = cos[:, None], sin[:, None]
    upper = cos * x[:half] - sin * x[half:]
    lower = sin * x[:half] + cos * x[half:]
    if half == 1:
        return np.concatenate([upper, lower])
    return np.concatenate([upper[:1], lower[:1], upper[1:-1], lower[1:], upper[-1:]])


def eigenvectors(symmetric):
    """All eigenvalues and eigenvectors of a symmetric matrix, by Jacobi's method.

    symmetric [D, D] -> values [D] descending, vectors [D, D] in columns; the largest number of each is positive
    """
    size = len(symmetric)
    even = size + size % 2
    c, v = np.zeros((even, even)), np.eye(even)  # an odd size gets a coordinate that no rotation changes
    c[:size, :size] = symmetric
    half = even // 2
    pairs = np.arange(half), np.arange(half, even)
    for _ in range(SWEEPS):
        diagonal = np.diag(c)
        if np.abs(c - np.diag(diagonal)).max() <= _SMALL * np.abs(diagonal).max():
            break
        for _ in range(even - 1):
            diagonal = np.diag(c)
            cos, sin = _rotations(diagonal[:half], diagonal[half:], c[pairs])
            c = _rotate_rows(np.ascontiguousarray(_rotate_rows(c, cos, sin).T), cos, sin)  # R C R^T, C = C^T
            v = _rotate_rows(v, cos, sin)  # row i of v is the eigenvector that belongs to c[i, i]
    kept = np.abs(v[:, :size]).max(axis=1) > 0.0 if even > size else slice(None)
    values, vectors = np.diag(c)[kept], v[kept, :size]
    by_value = np.argsort(-values, kind="stable")
    values, vectors = values[by_value], vectors[by_value]
    largest = vectors[np.arange(size), np.abs(vectors).argmax(axis=1)]
    return values, (vectors * np.where(largest < 0.0, -1.0, 1.0)[:, None]).T


def principal_directions(table, count):
    """table [N, D], count K -> directions [D, K] of the table's type, the share of the squares that they keep (float)

    table @ directions @ directions.T is the table of rank K that is nearest to `table`.
    """
    x = table.astype(np.float64)
    values, vectors = eigenvectors(matmul(x.T, x))
    values = np.maximum(values, 0.0)
    return vectors[:, :count].astype(table.dtype), math.fsum(values[:count]) / max(math.fsum(values), 1e-300)
