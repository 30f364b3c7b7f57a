"""Optional packages: imported only where they are used, and one clear line when one is missing."""

import importlib

from .project import how_to_install


class MissingExtra(ValueError):
    """An optional package is not installed."""


def require(module, extra):
    """Import `module`, which the optional extra `extra` installs; MissingExtra says how to get it."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module.partition(".")[0]:
            raise  # the package is there; something it needs itself is broken
        raise MissingExtra(
            f"{module} is not installed; it comes with the extra {extra!r}: {how_to_install(extra)}"
        ) from None
