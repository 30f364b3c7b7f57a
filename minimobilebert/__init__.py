"""MobileBERT from scratch: hand-written forward and backward passes in NumPy, compiled kernels in Numba.

`import minimobilebert` imports neither NumPy nor Numba; subpackages are imported when they are used. To start reading,
see README.md, section "The house".
"""

import typing

if typing.TYPE_CHECKING:
    from .inference.model import Model as Model

__version__ = "0.2.0"  # a test checks that CHANGELOG.md and CITATION.cff have the same version


# {public name: its module}; __getattr__ imports the module at first use.
_PUBLIC = {
    "Model": ".inference.model", "release_memory": ".kernels.runtime.memory", "set_threads": ".kernels.runtime.jit",
    "use_precision": ".kernels.runtime.precision",
}  # fmt: skip


def __getattr__(name: str) -> typing.Any:
    """Import a public name at first use, for `from minimobilebert import Model`."""
    if name not in _PUBLIC:
        raise AttributeError(f"module 'minimobilebert' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_PUBLIC[name], __name__), name)


def __dir__() -> list[str]:
    """The names that an editor completes after `minimobilebert.`"""
    return sorted({*globals(), *_PUBLIC})
