"""The matrix product on the tile that this process runs, for layouts and sizes that leave partial tiles everywhere."""

import numpy as np

from minimobilebert.kernels.gemm import tiles
from minimobilebert.kernels.gemm.matmul import matmul

MANY = [(37, 70, 41), (100, 300, 65), (5, 9, 130)]


def check(path, shapes=MANY):
    """AssertionError where `path` is not the tile that runs, or a product of [M, K] and [K, N] is not right."""
    assert path == tiles.PATH, f"found the tile {tiles.PATH}, expected {path}"
    rng = np.random.default_rng(5)
    for dtype, limit in ((np.float32, 1e-5), (np.float64, 1e-13)):
        for m, k, n in shapes:
            a, b = rng.normal(size=(m, k)).astype(dtype), rng.normal(size=(k, n)).astype(dtype)
            for x in (a, np.asfortranarray(a)):
                for y in (b, np.asfortranarray(b)):
                    error = np.abs(matmul(x, y) - a.astype(float) @ b) / (np.abs(a) @ np.abs(b) + 1e-30)
                    assert error.max(initial=0.0) < limit, (dtype, m, k, n, x.strides, y.strides, error.max())
