"""MobileBERT from scratch: hand-written forward and backward passes in NumPy, hot loops in Numba.

Importing this package imports neither NumPy nor Numba: every room is imported when it is used.
Where to start reading: README.md, section "The house".
"""

import typing

if typing.TYPE_CHECKING:
    from .inference.model import Model as Model

__version__ = "0.2.0"  # the one place; a test holds CHANGELOG.md and CITATION.cff equal to it


# What a program that uses the package needs, and where it is; imported when it is asked for, and only then.
_PUBLIC = {
    "Model": ".inference.model", "release_memory": ".kernels.runtime.memory", "set_threads": ".kernels.runtime.jit",
}  # fmt: skip


def __getattr__(name: str) -> typing.Any:
    """`from minimobilebert import Model`"""
    if name not in _PUBLIC:
        raise AttributeError(f"module 'minimobilebert' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_PUBLIC[name], __name__), name)


def __dir__() -> list[str]:
    """What an editor offers after `minimobilebert.`"""
    return sorted({*globals(), *_PUBLIC})
