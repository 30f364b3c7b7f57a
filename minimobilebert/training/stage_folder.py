"""The files of one training stage, and how a run resumes from them.

metrics.jsonl          one JSON line per logged step
checkpoint-STEP.npz    parameters, optimiser state, step; we keep the last two while the stage runs
checkpoint-final.npz   the parameters of a finished stage

A checkpoint stores the sha256 of the metrics up to its step and the state of a BestCheckpoint, if there is one. It is
the manifest of its stage: a resumed run checks all files of the stage against it.
"""

import hashlib
import pathlib
import re

from ..support.files import remove_leftovers, replacing
from ..support.terminal import say
from .checkpoints import CheckpointError, load_checkpoint, save_checkpoint
from .manifest import DamagedRun

RUNNING, FINAL = "running", "final"  # the kinds of checkpoint; best.npz is neither


def different_entry(found, expected, path=""):
    """The first entry in which two nested dicts differ -> (name, found, expected) or None"""
    if isinstance(found, dict) and isinstance(expected, dict):
        for name in [*expected, *(n for n in found if n not in expected)]:
            inner = different_entry(found.get(name), expected.get(name), f"{path}.{name}" if path else name)
            if inner:
                return inner
        return None
    return None if found == expected else (path, found, expected)


class OtherConfiguration(CheckpointError):
    """A checkpoint is valid, but its run had other settings."""


def check_same_configuration(path, found, expected):
    """OtherConfiguration with the first field that differs and both values."""
    difference = different_entry(found, expected)
    if difference:
        name, found_value, expected_value = difference
        raise OtherConfiguration(
            f"{path}: found a checkpoint with {name} = {found_value}, expected {name} = {expected_value}"
        )


class StageFolder:
    """The files of one stage. All its checkpoints must have the same `configuration`."""

    def __init__(self, folder, configuration):
        self.folder, self.configuration = pathlib.Path(folder), configuration
        self.folder.mkdir(parents=True, exist_ok=True)
        self.final = self.folder / "checkpoint-final.npz"
        self.metrics = self.folder / "metrics.jsonl"
        remove_leftovers(self.folder)

    def load(self, path, kind):
        """-> arrays, metadata. OtherConfiguration if the checkpoint has another configuration."""
        arrays, metadata = load_checkpoint(path)
        check_same_configuration(path, metadata["configuration"], self.configuration)
        if metadata.get("kind") != kind:
            raise CheckpointError(f"{path}: found a {metadata.get('kind')} checkpoint, expected a {kind} one")
        return arrays, metadata

    def finished(self):
        """The final checkpoint -> arrays, metadata; None, None if the stage is not finished"""
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
        """The newest checkpoint that can be read -> arrays, metadata or (None, None). A damaged one is skipped.

        We truncate the metrics to the checkpoint's step. The resumed run writes the rest again, with the same values.
        """
        arrays = metadata = None
        for path in self.running():
            try:
                arrays, metadata = self.load(path, RUNNING)
                break
            except OtherConfiguration:
                raise  # to resume or to start again would mix two runs
            except CheckpointError as error:
                say(f"warning: {error}; passed over")
        kept = self._metrics_until(metadata) if metadata else b""
        with replacing(self.metrics) as file:
            file.write(kept)
        return arrays, metadata

    def save(self, arrays, step, seconds, best=None):
        """Save a checkpoint of a running stage and keep the last two. best: the state of a BestCheckpoint"""
        save_checkpoint(self.folder / f"checkpoint-{step}.npz", arrays, self._metadata(RUNNING, step, seconds, best))
        for old in self.running()[2:]:
            old.unlink()

    def finish(self, params, step, seconds, best=None):
        """Save the final checkpoint and remove the running ones."""
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
        """The metrics up to the checkpoint's step -> bytes. DamagedRun if the file does not start with them."""
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
