"""The best parameters of a run so far, by a score, and every score of the run.

    evaluations.json   a list: {"step", "selection", and whatever else was measured}, in order; a selection that is no
                       number is null there, in summaries and in memory: JSON has no NaN
    best.npz           the parameters after the step with the highest selection; of equals, the first

Every checkpoint of the training holds the evaluations up to its step and the sha256 of best.npz (`state`), and a run
that goes on from the checkpoint checks both files against it (`restore`). What is newer than the checkpoint is made
again: parameters at a step are the same whenever it is reached. So a file that was lost or changed is noticed, and
never decides which parameters are kept.
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
    """What evaluations are compared by: null is below every number."""
    return -math.inf if row["selection"] is None else row["selection"]


class BestCheckpoint:
    """folder: of a stage; configuration: the dict its checkpoints hold"""

    def __init__(self, folder, configuration):
        self.folder, self.configuration = pathlib.Path(folder), configuration
        self.rows, self._sha256 = [], None

    @property
    def best(self):
        """The best evaluation so far; ValueError where there is none."""
        return max(self.rows, key=rank)

    def add(self, step, params, selection, **measured):
        """Note the evaluation after `step`; keep the parameters where they are the best so far."""
        row = {"step": step, "selection": None if math.isnan(selection) else selection, **measured}
        if all(rank(row) > rank(earlier) for earlier in self.rows):
            metadata = {"step": step, "configuration": self.configuration}
            save_checkpoint(self.folder / BEST, params, metadata)
            self._sha256 = sha256_of(self.folder / BEST)
        self.rows.append(row)
        write_json(self.folder / EVALUATIONS, self.rows)

    def state(self):
        """What a checkpoint holds of this -> anything JSON can hold"""
        return {"evaluations": self.rows, "best": self._sha256}

    def restore(self, state, step):
        """Go on from the `state` that the checkpoint at `step` holds. DamagedRun where the files do not agree."""
        self.rows, self._sha256 = list(state["evaluations"]), state["best"]
        if self.rows:
            self._check_evaluations(step)
            self._check_best(step)

    def restore_finished(self, state):
        """The evaluations of a finished stage, whose final checkpoint holds `state`."""
        self.rows, self._sha256 = list(state["evaluations"]), state["best"]
        self._check_evaluations(math.inf)
        self.remove()  # left behind where the stage was stopped in its last moment

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
        if json.dumps(found) != json.dumps(self.rows):  # as texts: 1 and 1.0 are not the same file
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
        # A later evaluation may have replaced it before the run was stopped; that one will be made again.
        if metadata["configuration"] != self.configuration or metadata["step"] <= step:
            raise self._damaged(BEST, "another checkpoint")

    def parameters(self):
        """The best parameters -> {name: array}. DamagedRun unless they are the ones that were kept."""
        path = self.folder / BEST
        if not path.exists() or sha256_of(path) != self._sha256:
            raise self._damaged(BEST, "another file" if path.exists() else "no file")
        return load_checkpoint(path)[0]

    def remove(self):
        """The final checkpoint holds the best parameters: best.npz is not needed any more."""
        (self.folder / BEST).unlink(missing_ok=True)
