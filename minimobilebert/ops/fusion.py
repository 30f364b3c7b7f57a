"""The switch for fused operations: inside `with use_fusion(False): ...` a model runs single operations only.

Without fusion, a model calls the functions in ops/ one by one. A student edition of the course has no folder
ops/fused/, so its models always run the student's own functions.
"""

import functools
import importlib.util
from collections.abc import Callable
from typing import NamedTuple

from ..kernels.runtime.backend import Choice, use

_HAVE_FUSED = importlib.util.find_spec(f"{__package__}.fused") is not None


class Pair(NamedTuple):
    """The forward and backward of a fused operation, and the type of the cache between them."""

    forward: Callable
    backward: Callable
    cache: type


if _HAVE_FUSED:
    from .fused.dense_activation import DenseActivationCache, dense_activation_backward, dense_activation_forward
    from .fused.dense_nonorm import DenseNoNormCache, dense_nonorm_backward, dense_nonorm_forward
    from .fused.feed_forward import FeedForwardCache, feed_forward_backward, feed_forward_forward

    dense_activation_pair = Pair(dense_activation_forward, dense_activation_backward, DenseActivationCache)
    dense_nonorm_pair = Pair(dense_nonorm_forward, dense_nonorm_backward, DenseNoNormCache)
    feed_forward_pair = Pair(feed_forward_forward, feed_forward_backward, FeedForwardCache)
else:
    dense_activation_pair = dense_nonorm_pair = feed_forward_pair = None

_FUSION = Choice("fusion", (True, False) if _HAVE_FUSED else (False,), _HAVE_FUSED)


def fused():
    """True if the models run fused operations now."""
    return _FUSION.value


def use_fusion(on):
    """Switch fusion on or off; in a `with` statement, for its block only. ValueError for True in a student edition."""
    return use(_FUSION, bool(on))


def replaced_by(fused_form, where):
    """The decorator of a function for which `fused_form` runs where `where(*arguments)` is true."""

    def decorate(function):
        """function -> the one that chooses; it keeps the function as `__wrapped__`"""

        @functools.wraps(function)
        def run(*args, **kwargs):
            """The fused form where it applies, else the function."""
            return (fused_form if where(*args, **kwargs) else function)(*args, **kwargs)

        return run

    return decorate
