"""MobileBERT from scratch: hand-written forward and backward passes in NumPy, hot loops in Numba.

Importing this package imports neither NumPy nor Numba: every room is imported when it is used.
Where to start reading: README.md, section "The house".
"""

__version__ = "0.1.0"


def __getattr__(name):
    """`from minimobilebert import Model` imports what it needs, and only then."""
    if name == "Model":
        from .inference.model import Model

        return Model
    raise AttributeError(f"module 'minimobilebert' has no attribute {name!r}")
