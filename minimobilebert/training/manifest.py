"""`manifest.json` of a finished run: the sha256 of every file that its result consists of.

It is written last, so a run is finished when it is there. Whoever reads a finished run checks the files first: a
number in summary.json that was changed, or another run's checkpoint in its place, would be believed otherwise.
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
    """Note the files `names`, relative to `folder`: the run is finished."""
    files = {name: sha256_of(pathlib.Path(folder) / name) for name in sorted(names)}
    write_json(pathlib.Path(folder) / MANIFEST, {"files": files, "sha256": _digest_of(files)})


def read_manifest(folder):
    """{name: sha256} of a finished run; empty where there is no manifest. DamagedRun where it was changed."""
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
    """Whether `folder` holds a finished run, every file of it as it was written.

    DamagedRun where a file has changed. Where one is missing the run is not finished: what is there of it is checked
    again, stage by stage, and the missing file is made again. needed: names that the manifest must list
    """
    folder, files = pathlib.Path(folder), read_manifest(folder)
    there = {name: sha256 for name, sha256 in files.items() if (folder / name).exists()}
    for name, sha256 in there.items():
        _check(folder / name, sha256)
    missing = [name for name in files if name not in there]
    if missing:
        say(f"note: {folder / missing[0]} is missing; what is left of the run is checked, and the rest made again")
    return bool(files) and not missing and all(name in files for name in needed)


def reopen(folder):
    """The run in `folder` is at work again: its list of files no longer holds."""
    (pathlib.Path(folder) / MANIFEST).unlink(missing_ok=True)


def check_listed(path):
    """DamagedRun where `path` belongs to a finished run (its folder's, or the one around it), and has changed."""
    path = pathlib.Path(path)
    for folder in (path.parent, path.parent.parent):
        sha256 = read_manifest(folder).get(path.relative_to(folder).as_posix())
        if sha256:
            _check(path, sha256)
