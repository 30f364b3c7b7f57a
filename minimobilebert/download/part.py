"""A partial download: `NAME.part`, and `NAME.part.json` with the version of the file."""

import contextlib

from ..support.files import write_json
from ..support.requirements import check_disk
from ..support.structured_files import read_json


class Part:
    """A partially downloaded file."""

    def __init__(self, path, address):
        self.address = address
        self.path = path.with_name(path.name + ".part")
        self.notes = path.with_name(path.name + ".part.json")
        self.validator = self.total = None
        with contextlib.suppress(OSError, ValueError):  # without readable notes the part cannot be used
            notes = read_json(self.notes)
            if isinstance(notes, dict) and notes.get("address") == address:
                validator, total = notes.get("validator"), notes.get("total")
                if type(validator) is str and validator.isprintable() and (total is None or type(total) is int):
                    self.validator, self.total = validator, total

    @property
    def size(self):
        """The number of bytes that can be continued: 0 without a validator."""
        return self.size_on_disk if self.validator else 0

    @property
    def size_on_disk(self):
        return self.path.stat().st_size if self.path.exists() else 0

    @property
    def complete(self):
        return self.total is not None and self.size == self.total

    def start(self, validator, total):
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.unlink(missing_ok=True)
        check_disk(self.path.parent, total or 0, self.address)
        self.validator, self.total = validator, total
        write_json(self.notes, {"address": self.address, "validator": validator, "total": total})

    def remove(self):
        self.path.unlink(missing_ok=True)
        self.notes.unlink(missing_ok=True)
        self.validator = self.total = None

    def check_size(self, size, most):
        """Remove the part and raise ValueError if `size`, announced or received, is more than `most` bytes."""
        if size > most:
            self.remove()
            raise ValueError(f"{self.address}: found {size:,} bytes, expected at most {most:,}; nothing was kept")
