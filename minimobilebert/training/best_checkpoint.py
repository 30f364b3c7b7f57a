"""The best parameters of a run so far, selected by a score, and all evaluations of the run.

    evaluations.json   a list of {"step", "selection", and other measurements} in order; a selection of NaN is null in
                       this file, in summaries and in memory, because JSON has no NaN
    best.npz           the parameters after the step with the highest selection; the earliest one in a tie

Each training checkpoint stores the evaluations up to its step and the sha256 of best.npz (`state`). A resumed run
checks both files against them (`restore`) and repeats the evaluations after the checkpoint. Their results are the same,
because training is deterministic. A lost or modified file is therefore detected before it selects wrong parameters.
"""

import json
import math
import pathlib

from ..support.files import sha256_of, write_json
from ..support.shapes import ANY, Integer
from ..support.structured_files import read_json
from .checkpoints import CheckpointError, load_checkpoint, save_checkpoint
from .manifest import DamagedRun

_EVALUATIONS = [{"step": Integer(0), "selection": (float, None), str: ANY}]
EVALUATIONS, BEST = "evaluations.json", "best.npz"


def rank(row):
    """The sort key of evaluations: null is below every number."""
    return -math.inf if row["selection"] is None else row["selection"]


class BestCheckpoint:
    """folder: that of a stage; configuration: the dict that its checkpoints store"""

    def __init__(self, folder, configuration):
        self.folder, self.configuration = pathlib.Path(folder), configuration
        self.rows, self._sha256 = [], None

    @property
    def best(self):
        """The best evaluation so far; ValueError if there is none."""
        return max(self.rows, key=rank)

    def add(self, step, params, selection, **measured):
        """Record the evaluation after `step`; save the parameters if they are the best so far."""
        row = {"step": step, "selection": None if math.isnan(selection) else selection, **measured}
        if all(rank(row) > rank(earlier) for earlier in self.rows):
            metadata = {"step": step, "configuration": self.configuration}
            save_checkpoint(self.folder / BEST, params, metadata)
            self._sha256 = sha256_of(self.folder / BEST)
        self.rows.append(row)
        write_json(self.folder / EVALUATIONS, self.rows)

    def state(self):
        """What a training checkpoint stores about this object -> a JSON value"""
        return {"evaluations": self.rows, "best": self._sha256}

    def restore(self, state, step):
        """Resume from the `state` that the checkpoint at `step` stores. DamagedRun if the files do not match it."""
        self.rows, self._sha256 = list(state["evaluations"]), state["best"]
        if self.rows:
            self._check_evaluations(step)
            self._check_best(step)

    def restore_finished(self, state):
        """Load the evaluations of a finished stage; `state` is from its final checkpoint."""
        self.rows, self._sha256 = list(state["evaluations"]), state["best"]
        self._check_evaluations(math.inf)
        self.remove()  # best.npz still exists if the stage was killed before it could remove the file

    def _damaged(self, name, found):
        return DamagedRun(
            f"{self.folder / name}: found {found}, expected what the newest checkpoint belongs to;"
            f" put the file back, or remove the folder {self.folder} and give the same command again"
        )

    def _check_evaluations(self, step):
        path = self.folder / EVALUATIONS
        if not path.exists():
            raise self._damaged(EVALUATIONS, "no file")
        try:
            found = [row for row in read_json(path, _EVALUATIONS) if row["step"] <= step]
        except ValueError:
            raise self._damaged(EVALUATIONS, "a damaged file") from None
        if json.dumps(found) != json.dumps(self.rows):  # compared as text, because 1 == 1.0
            raise self._damaged(EVALUATIONS, "other evaluations")

    def _check_best(self, step):
        path = self.folder / BEST
        if not path.exists():
            raise self._damaged(BEST, "no file")
        if sha256_of(path) == self._sha256:
            return
        try:
            _, metadata = load_checkpoint(path)
        except CheckpointError:
            raise self._damaged(BEST, "a damaged file") from None
        # An evaluation after the checkpoint may have replaced the file; the resumed run will repeat it.
        if metadata["configuration"] != self.configuration or metadata["step"] <= step:
            raise self._damaged(BEST, "another checkpoint")

    def parameters(self):
        """The best parameters -> {name: array}. DamagedRun if best.npz is missing or was modified."""
        path = self.folder / BEST
        if not path.exists() or sha256_of(path) != self._sha256:
            raise self._damaged(BEST, "another file" if path.exists() else "no file")
        return load_checkpoint(path)[0]

    def remove(self):
        """Remove best.npz: the final checkpoint stores the best parameters."""
        (self.folder / BEST).unlink(missing_ok=True)
