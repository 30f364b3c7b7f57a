"""Optional packages: imported only when they are used, with one clear line if one is missing."""

import importlib

from .project import how_to_install


class MissingExtra(ValueError):
    """An optional package is not installed."""


def require(module, extra):
    """Import `module`, which the extra `extra` installs. MissingExtra, with the command to install it, if missing."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module.partition(".")[0]:
            raise  # the package is installed, but one of its own imports is missing
        raise MissingExtra(
            f"{module} is not installed; it comes with the extra {extra!r}: {how_to_install(extra)}"
        ) from None
