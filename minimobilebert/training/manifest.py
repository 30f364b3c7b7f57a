"""`manifest.json` of a finished run: the sha256 of each file of its result.

It is written last: a run with a manifest is finished. Every command that reads a finished run checks the hashes first,
so that an edited number in summary.json or the checkpoint of another run is detected.
"""

import hashlib
import json
import pathlib

from ..support.files import sha256_of, write_json
from ..support.structured_files import read_json
from ..support.terminal import say
from .checkpoints import CheckpointError

MANIFEST = "manifest.json"


class DamagedRun(CheckpointError):
    """A file of a run is not the one that the run wrote."""


def _digest_of(files):
    return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()


def write_manifest(folder, names):
    """Mark the run as finished: write the hashes of the files `names`, which are relative to `folder`."""
    files = {name: sha256_of(pathlib.Path(folder) / name) for name in sorted(names)}
    write_json(pathlib.Path(folder) / MANIFEST, {"files": files, "sha256": _digest_of(files)})


def read_manifest(folder):
    """{name: sha256} of a finished run; empty if there is no manifest. DamagedRun if the manifest was modified."""
    path = pathlib.Path(folder) / MANIFEST
    if not path.exists():
        return {}
    try:
        found = read_json(path)
        files = found["files"]
        if found["sha256"] == _digest_of(files) and files:
            return files
    except (ValueError, TypeError, KeyError):
        pass
    raise DamagedRun(
        f"{path}: found a damaged file, expected the list of the run's files;"
        " remove it, and the command that made the run checks everything and writes it again"
    )


def _check(path, sha256):
    if sha256_of(path) != sha256:
        raise DamagedRun(
            f"{path}: found other contents than when the run was finished ({MANIFEST}), expected the same;"
            " put the file back, or remove it and give the command that made the run again"
        )


def is_finished(folder, needed=()):
    """True if `folder` contains a finished run with all its files.

    DamagedRun if a file was modified. If one is missing, the run counts as unfinished: its stages are checked again,
    and the missing file is computed again. needed: names that the manifest must list
    """
    folder, files = pathlib.Path(folder), read_manifest(folder)
    existing = {name: sha256 for name, sha256 in files.items() if (folder / name).exists()}
    for name, sha256 in existing.items():
        _check(folder / name, sha256)
    missing = [name for name in files if name not in existing]
    if missing:
        say(f"note: {folder / missing[0]} is missing; what is left of the run is checked, and the rest made again")
    return bool(files) and not missing and all(name in files for name in needed)


def reopen(folder):
    """Mark the run in `folder` as unfinished: remove its manifest."""
    (pathlib.Path(folder) / MANIFEST).unlink(missing_ok=True)


def check_listed(path):
    """DamagedRun if `path` was modified and is listed by the manifest of its folder or of the parent folder."""
    path = pathlib.Path(path)
    for folder in (path.parent, path.parent.parent):
        sha256 = read_manifest(folder).get(path.relative_to(folder).as_posix())
        if sha256:
            _check(path, sha256)
