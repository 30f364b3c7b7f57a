"""The interface of a fine-tuning task (`Job`), the files of a task, and the construction of its job."""

import dataclasses
import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np

from ..config import ModelConfig
from ..model.parameters import VECTOR_HEADS
from ..model.parts import Shares
from ..support.files import name_of, sha256_of
from .settings import SQUAD, TABLE

Params = dict[str, np.ndarray]
Scores = dict[str, dict[str, float]]  # {dev split: {score: number}}


class Rows(Protocol):
    """N labelled rows for batches."""

    @property
    def lengths(self) -> np.ndarray:
        """[N] integers, number of pieces of each row"""

    @property
    def arrays(self) -> list[np.ndarray]:
        """All arrays of the rows, for their fingerprint."""

    def batch(self, rows: np.ndarray) -> NamedTuple:
        """rows [B] integers, indices of rows -> input_ids, token_type_ids, attention_mask [B, T], and the labels"""


class Job(Protocol):
    """The interface of a task for run.py: training data, loss, scores. GlueJob, SquadJob and TableJob implement it.

    head, num_labels   a name of model.parameters.HEADS; the number of outputs of a head with labels
    labels             the names of the classes, or None
    pairs              True if a row has two texts
    examples           the training rows, read at first use
    dev                the data for scoring, read at first use; only the job itself uses it
    """

    head: str
    num_labels: int | None
    labels: list[str] | None
    pairs: bool

    @property
    def examples(self) -> Rows: ...

    @property
    def dev(self) -> Any: ...

    def paths(self) -> list[pathlib.Path]:
        """The files for training and scoring."""

    def step_function(
        self, params: Params, config: ModelConfig, batch: NamedTuple, rng: np.random.Generator | None, shares: Shares
    ) -> tuple[dict[str, float], Params]:
        """A batch of B rows -> losses, including "loss"; gradients, with the names and shapes of `params`

        shares: those of the batch, if it is a part of one (model/parts.py)
        """

    def logits(self, params: Params, config: ModelConfig) -> Callable[[NamedTuple], np.ndarray]:
        """-> function: batch -> logits without dropout, [B, num_labels], or [B, T, 2] for starts and ends"""

    def evaluate(self, logits: Callable[[NamedTuple], np.ndarray]) -> Scores:
        """logits: the function that `logits` returns -> the scores on each dev split"""

    def details(self, logits: Callable[[NamedTuple], np.ndarray]) -> dict[str, dict[str, Any]]:
        """The same with what is right and wrong: {dev split: {"scores", "rows", and what details.py lists}}"""

    def selection(self, scores: Scores) -> float:
        """The score that selects the best parameters; larger is better."""


@dataclasses.dataclass(frozen=True)
class TaskFiles:
    """data: the GLUE folder, the SQuAD folder, or a table of your own.

    SQuAD: train_file, dev_file: instead of those in `data`; split_articles: train on this number of articles of the
    training file and score on the rest; leave_out: a JSON list of question ids that are excluded from training
    table: text, text_b, label: names of columns; regression: labels are numbers; dev_file: a table for scoring;
    encoding: of the files, or None
    """

    data: str
    train_file: str | None = None
    dev_file: str | None = None
    split_articles: int | None = None
    leave_out: str | None = None
    text: str | None = None
    text_b: str | None = None
    label: str | None = None
    regression: bool | None = None
    encoding: str | None = None

    def check(self, task):
        """ValueError for a field that the task would ignore."""
        of_squad = {"train_file", "dev_file", "split_articles", "leave_out"}
        of_table = {"text", "text_b", "label", "regression", "encoding", "dev_file"}
        own = of_squad if task in SQUAD else of_table if task == TABLE else set()
        for name, value in self.described().items():
            if name != "data" and name not in own and value is not None:
                others = [*(SQUAD if name in of_squad else ()), *((TABLE,) if name in of_table else ())]
                raise ValueError(f"--{name.replace('_', '-')}: found it with {task}, expected it with"
                                 f" {' or '.join(others)} only")  # fmt: skip
        if self.split_articles and self.dev_file:
            raise ValueError("--dev-file: found it with --split-articles, expected one of them: both name dev")

    def described(self):
        """-> {name: value} for config.json"""
        values = dataclasses.asdict(self)
        columns = ("text", "text_b", "label", "encoding")  # names in a file are text already
        return {name: name_of(value) if isinstance(value, str) and name not in columns else value
                for name, value in values.items()}  # fmt: skip

    def contents(self, paths):
        """-> {path: fingerprint} of the files that a job reads, including `leave_out`"""
        paths = [*paths, pathlib.Path(self.leave_out)] if self.leave_out else paths
        return {name_of(path): sha256_of(path)[:16] for path in paths if path.exists()}  # the job says what is missing

    def folder(self):
        """ValueError unless `data` is a folder."""
        if not pathlib.Path(self.data).is_dir():
            raise ValueError(f"{self.data}: found no folder, expected one with the task's files (--data)")
        return pathlib.Path(self.data)


def make_job(settings, files, saved) -> Job:
    """The job of `settings.task` for a SavedModel. ValueError where the model cannot read the task."""
    files.check(settings.task)
    if settings.task in SQUAD:
        from .squad_job import SquadJob

        job = SquadJob(settings, files, saved.tokenizer)
    elif settings.task == TABLE:
        from .table_job import TableJob

        job = TableJob(settings, files, saved)
    else:
        from .glue_job import GlueJob

        job = GlueJob(settings, files.folder(), saved)
    if job.pairs and job.head not in VECTOR_HEADS and saved.config.type_vocab_size < 2:
        raise ValueError(
            f"--model: found {saved.config.type_vocab_size} kind of segment, expected 2: {settings.task} is about pairs"
        )
    return job
