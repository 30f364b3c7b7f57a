"""The files of one training stage, and what it takes to go on from them.

metrics.jsonl          a JSON line a logged step
checkpoint-STEP.npz    parameters, optimiser, step; the last two are kept while the stage runs
checkpoint-final.npz   parameters alone: the stage is done
"""

import json
import pathlib

from ..files import write_text
from ..terminal import say
from .checkpoints import CheckpointError, load_checkpoint, save_checkpoint


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
        for torn in self.folder.glob("*.tmp"):
            torn.unlink()  # what was being written when the run was killed

    def load(self, path):
        """-> arrays, metadata. OtherConfiguration where the checkpoint belongs to another run."""
        arrays, metadata = load_checkpoint(path)
        check_same_configuration(path, metadata["configuration"], self.configuration)
        return arrays, metadata

    def running(self):
        """Checkpoints of an unfinished stage, newest first."""
        numbered = [p for p in self.folder.glob("checkpoint-*.npz") if p != self.final]
        return sorted(numbered, key=lambda p: int(p.stem.split("-")[1]), reverse=True)

    def newest(self):
        """The newest checkpoint that can be read -> arrays, metadata or (None, None). A torn one is passed over."""
        for path in self.running():
            try:
                return self.load(path)
            except OtherConfiguration:
                raise  # going on, or starting over, would mix two runs
            except CheckpointError as error:
                say(f"warning: {error}; using the one before")
        return None, None

    def save(self, arrays, step, seconds):
        """A checkpoint of a running stage; the last two are kept."""
        save_checkpoint(self.folder / f"checkpoint-{step}.npz", arrays,
                        {"step": step, "seconds": seconds, "configuration": self.configuration})  # fmt: skip
        for old in self.running()[2:]:
            old.unlink()

    def finish(self, params, step, seconds):
        """The final checkpoint: the stage is done and the running ones are not needed any more."""
        save_checkpoint(self.final, params, {"step": step, "seconds": seconds, "configuration": self.configuration})
        for old in self.running():
            old.unlink()

    def cut_metrics(self, step):
        """Drop the lines after `step`: they will be written again, the same."""
        lines = self.metrics.read_text(encoding="utf-8").splitlines() if self.metrics.exists() else []
        kept = []
        for line in lines:
            try:
                if json.loads(line)["step"] > step:
                    break
            except (json.JSONDecodeError, KeyError):
                break  # the line that was being written when the run was killed
            kept.append(line + "\n")
        write_text(self.metrics, "".join(kept))
