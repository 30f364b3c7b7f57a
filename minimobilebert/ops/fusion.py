"""Whether a model runs fused operations: `with use_fusion(False): ...` composes everything from single ones.

Without fusion a model calls exactly the functions that a reader finds in ops/, each by itself. A student edition of the
course has no folder ops/fused/, so there a model always computes with the student's own functions.
"""

import importlib.util
from collections.abc import Callable
from typing import NamedTuple

from ..kernels.runtime.backend import Choice, use

_HAVE_FUSED = importlib.util.find_spec(f"{__package__}.fused") is not None


class Pair(NamedTuple):
    """A fused operation."""

    forward: Callable
    backward: Callable


if _HAVE_FUSED:
    from .fused.dense_activation import dense_activation_backward, dense_activation_forward
    from .fused.dense_nonorm import dense_nonorm_backward, dense_nonorm_forward

    dense_activation_pair = Pair(dense_activation_forward, dense_activation_backward)
    dense_nonorm_pair = Pair(dense_nonorm_forward, dense_nonorm_backward)
else:
    dense_activation_pair = dense_nonorm_pair = None

_FUSION = Choice("fusion", (True, False) if _HAVE_FUSED else (False,), _HAVE_FUSED)


def fused():
    """Whether fused operations run now."""
    return _FUSION.value


def use_fusion(on):
    """Choose for good, or with `with` for one block of code. ValueError for True in a student edition."""
    return use(_FUSION, bool(on))
