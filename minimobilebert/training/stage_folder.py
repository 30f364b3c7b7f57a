"""The files of one training stage, and what it takes to go on from them.

metrics.jsonl          a JSON line a logged step
checkpoint-STEP.npz    parameters, optimiser, step; the last two are kept while the stage runs
checkpoint-final.npz   parameters alone: the stage is done

A checkpoint holds the sha256 of the metrics up to its step and, where the best parameters are kept, the state of
best_checkpoint.py. So it is the manifest of its stage: whoever goes on from it checks everything that belongs to it.
"""

import hashlib
import pathlib
import re

from ..support.files import remove_leftovers, replacing
from ..support.terminal import say
from .checkpoints import CheckpointError, load_checkpoint, save_checkpoint
from .manifest import DamagedRun

RUNNING, FINAL = "running", "final"  # what a checkpoint holds; the best parameters' file is of neither kind


def _different(found, expected, path=""):
    """The first place where two nested dicts differ -> (name, found, expected) or None"""
    if isinstance(found, dict) and isinstance(expected, dict):
        for name in [*expected, *(n for n in found if n not in expected)]:
            inner = _different(found.get(name), expected.get(name), f"{path}.{name}" if path else name)
            if inner:
                return inner
        return None
    return None if found == expected else (path, found, expected)


class OtherConfiguration(CheckpointError):
    """A checkpoint is sound but belongs to a run with other settings."""


def check_same_configuration(path, found, expected):
    """OtherConfiguration, naming the first field that differs and both values."""
    difference = _different(found, expected)
    if difference:
        name, theirs, ours = difference
        raise OtherConfiguration(f"{path}: found a checkpoint with {name} = {theirs}, expected {name} = {ours}")


class StageFolder:
    """The files of one stage. `configuration` is what its checkpoints must agree on."""

    def __init__(self, folder, configuration):
        self.folder, self.configuration = pathlib.Path(folder), configuration
        self.folder.mkdir(parents=True, exist_ok=True)
        self.final = self.folder / "checkpoint-final.npz"
        self.metrics = self.folder / "metrics.jsonl"
        remove_leftovers(self.folder)

    def load(self, path, kind):
        """-> arrays, metadata. OtherConfiguration where the checkpoint belongs to another run."""
        arrays, metadata = load_checkpoint(path)
        check_same_configuration(path, metadata["configuration"], self.configuration)
        if metadata.get("kind") != kind:
            raise CheckpointError(f"{path}: found a {metadata.get('kind')} checkpoint, expected a {kind} one")
        return arrays, metadata

    def finished(self):
        """The final checkpoint -> arrays, metadata; None, None where the stage is not done"""
        if not self.final.exists():
            return None, None
        arrays, metadata = self.load(self.final, FINAL)
        if len(self._metrics_until(metadata)) != self.metrics.stat().st_size:
            raise self._other_metrics(metadata)
        self._remove_running()
        return arrays, metadata

    def running(self):
        """Checkpoints of an unfinished stage, newest first."""
        numbered = [p for p in self.folder.glob("checkpoint-*.npz") if re.fullmatch(r"checkpoint-\d+", p.stem)]
        return sorted(numbered, key=lambda p: int(p.stem.split("-")[1]), reverse=True)

    def newest(self):
        """The newest checkpoint that can be read -> arrays, metadata or (None, None). A torn one is passed over.

        The metrics are cut to those that the checkpoint knows of; the rest is written again, the same.
        """
        arrays = metadata = None
        for path in self.running():
            try:
                arrays, metadata = self.load(path, RUNNING)
                break
            except OtherConfiguration:
                raise  # going on, or starting over, would mix two runs
            except CheckpointError as error:
                say(f"warning: {error}; passed over")
        kept = self._metrics_until(metadata) if metadata else b""
        with replacing(self.metrics) as file:
            file.write(kept)
        return arrays, metadata

    def save(self, arrays, step, seconds, best=None):
        """A checkpoint of a running stage; the last two are kept. best: the state of a BestCheckpoint"""
        save_checkpoint(self.folder / f"checkpoint-{step}.npz", arrays, self._metadata(RUNNING, step, seconds, best))
        for old in self.running()[2:]:
            old.unlink()

    def finish(self, params, step, seconds, best=None):
        """The final checkpoint: the stage is done and the running ones are not needed any more."""
        save_checkpoint(self.final, params, self._metadata(FINAL, step, seconds, best))
        self._remove_running()

    def _remove_running(self):
        for old in self.running():
            old.unlink()

    def _metadata(self, kind, step, seconds, best):
        metrics = self.metrics.read_bytes()
        return {
            "kind": kind, "step": step, "seconds": seconds, "configuration": self.configuration, "best": best,
            "metrics": {"bytes": len(metrics), "sha256": hashlib.sha256(metrics).hexdigest()},
        }  # fmt: skip

    def _metrics_until(self, metadata):
        """The metrics that a checkpoint knows of -> bytes. DamagedRun where the file does not begin with them."""
        known = metadata["metrics"]
        content = self.metrics.read_bytes()[: known["bytes"]] if self.metrics.exists() else b""
        if hashlib.sha256(content).hexdigest() != known["sha256"]:
            raise self._other_metrics(metadata)
        return content

    def _other_metrics(self, metadata):
        found = "other lines" if self.metrics.exists() else "no file"
        return DamagedRun(
            f"{self.metrics}: found {found}, expected those of the {metadata['step']} steps that were done;"
            f" put the file back, or remove the folder {self.folder} and give the same command again"
        )
