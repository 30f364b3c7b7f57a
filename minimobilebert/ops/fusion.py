"""Whether a model runs fused operations: `with use_fusion(False): ...` composes everything from single ones.

A fused operation (ops/linear_activation.py, ops/linear_nonorm.py, ops/linear_fused.py, the engine) gives the numbers
of the operations it joins and takes fewer passes through memory. Without fusion a model calls exactly the functions
that a reader finds in ops/, each by itself. A student edition of the course is written with FUSED = False, so that a
model there computes with the student's own functions.
"""

FUSED = True


def fused():
    """Whether fused operations run now."""
    return FUSED


class use_fusion:
    """Choose for good, or with `with` for one block of code."""

    def __init__(self, on):
        global FUSED
        self._previous, FUSED = FUSED, bool(on)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        global FUSED
        FUSED = self._previous
