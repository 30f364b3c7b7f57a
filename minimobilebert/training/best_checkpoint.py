"""The best parameters of a run so far, by a score, and every score of the run.

    evaluations.json   a list: {"step", "selection", and whatever else was measured}, in order
    best.npz           the parameters after the step with the highest selection; of equals, the first

A step that is evaluated a second time, after a kill, replaces its first evaluation: parameters at a step are the same
whenever it is reached, so both files end as if nothing had happened.
"""

import math
import os
import pathlib

from ..files import read_json, write_json
from .checkpoints import save_checkpoint

EVALUATIONS, BEST = "evaluations.json", "best.npz"


def _rank(row):
    return -math.inf if math.isnan(row["selection"]) else row["selection"]


class BestCheckpoint:
    """folder: of a stage; configuration: the dict its checkpoints hold"""

    def __init__(self, folder, configuration):
        self.folder, self.configuration = pathlib.Path(folder), configuration
        self.rows = read_json(self.folder / EVALUATIONS) if (self.folder / EVALUATIONS).exists() else []

    @property
    def best(self):
        """The best evaluation so far; ValueError where there is none."""
        return max(self.rows, key=_rank)

    def add(self, step, params, selection, **measured):
        """Note the evaluation after `step`; keep the parameters where they are the best so far."""
        self.rows = [row for row in self.rows if row["step"] < step]
        row = {"step": step, "selection": selection, **measured}
        if all(_rank(row) > _rank(earlier) for earlier in self.rows):
            save_checkpoint(
                self.folder / BEST, params, {"step": step, "seconds": 0.0, "configuration": self.configuration}
            )
        self.rows.append(row)
        write_json(self.folder / EVALUATIONS, self.rows)

    def take_the_place_of(self, final):
        """At the end: `final`, the last parameters' file, becomes the best parameters' file. Done twice, it is done."""
        if (self.folder / BEST).exists():
            os.replace(self.folder / BEST, final)
