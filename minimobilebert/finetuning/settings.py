"""The settings of a fine-tuning run, their defaults, and the search space of the paper.

Paper, Sections 4.4 and 4.5: batch size 16, 32 or 48; learning rate 1e-5 to 10e-5; 2 to 10 epochs; the best on dev.

The defaults are points of this space. GLUE: those of the released `run_classifier.py` (5e-5, 32, 3 epochs), but 5
epochs for the four tasks with fewer than 10,000 rows, because 3 epochs are only a few hundred updates. SQuAD: those of
the released README (4e-5, 32, 5 epochs; windows of 384 pieces with a stride of 128, questions of at most 64).
"""

import dataclasses

from ..distributed.parts import usual_parts
from ..distributed.reduction import DETERMINISTIC, REDUCTIONS
from ..kernels.runtime.precision import PRECISIONS
from ..support.numbers import COUNT, FACTOR, RATE, SEED, numbers_of
from ..support.shapes import Number, OneOf, check
from ..tasks.squad_windows import BESIDE_THE_QUESTION

SEARCH = {
    "batch": (16, 32, 48),
    "lr": tuple(n * 1e-5 for n in range(1, 11)),
    "epochs": tuple(range(2, 11)),
}
SQUAD = ("squad1", "squad2")
TABLE = "table"  # of the reader's own
_FEW_ROWS = ("cola", "mrpc", "rte", "stsb")


SHAPES = {
    "learning_rate": RATE,
    "batch_size": COUNT,
    "epochs": COUNT,
    "max_length": COUNT,
    "seed": SEED,
    "warmup": Number(0.0, 0.999),
    "weight_decay": FACTOR,
    "clip_norm": RATE,
    "rows": (COUNT, None),
    "sentence_vectors": bool,
    "precision": OneOf(*PRECISIONS),
    "parts": COUNT,
    "reduction": OneOf(*REDUCTIONS),
    "overlap": bool,
    "shard_optimizer": bool,
    "stride": COUNT,
    "max_query": COUNT,
}
_SEARCHED = {"batch": "batch_size", "lr": "learning_rate", "epochs": "epochs"}


@dataclasses.dataclass(frozen=True)
class FineTuningSettings:
    """The settings that determine the result of a run, together with the data and the initial weights."""

    task: str
    learning_rate: float
    batch_size: int
    epochs: int
    max_length: int  # pieces, including [CLS] and [SEP]
    seed: int = 1
    warmup: float = 0.1  # fraction of the updates
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    rows: int | None = None  # train only on this number of rows
    sentence_vectors: bool = False  # classify vectors of texts instead of sequences: model/vector_classification.py
    stride: int = 128  # SQuAD: pieces from one window to the next
    max_query: int = 64  # SQuAD: maximum number of pieces of a question
    precision: str = "float32"  # of matrix products in training: "float32" or "bfloat16" (ops/bfloat16.py)
    parts: int = 1  # of a batch, whose gradients are added; under mpiexec 4, or one for each rank if there are more
    reduction: str = DETERMINISTIC  # or "fast", "bfloat16": distributed/reduction.py
    overlap: bool = True  # gradients travel during the backward pass; changes no bit: distributed/overlap.py
    shard_optimizer: bool = False  # each rank keeps the moments of some parameters: training/sharded_optimizer.py

    def __post_init__(self):
        for name, shape in SHAPES.items():
            check(getattr(self, name), shape, name)


def usual_settings(task, positions, **changes):
    """The default settings of a task, updated with those `changes` that are not None -> FineTuningSettings

    positions: the length of the model's position table, or of the longest text that a sentence encoder reads
    """
    squad = task in SQUAD
    for name in () if squad else ("stride", "max_query"):
        if changes.get(name) is not None:
            option = f"--{name.replace('_', '-')}"
            raise ValueError(f"{option}: found it with {task}, expected it with {' or '.join(SQUAD)} only")
    if squad and changes.get("sentence_vectors"):
        raise ValueError(f"--sentence-vectors: found it with {task}, expected a task with labelled texts")
    values = {
        "learning_rate": 4e-5 if squad else 5e-5,
        "batch_size": 32,
        "epochs": 5 if squad or task in _FEW_ROWS else 3,
        "parts": usual_parts(),
        "max_length": min(384 if squad else 128, positions),
    }
    values |= {name: value for name, value in changes.items() if value is not None}
    lowest = 3 if values.get("sentence_vectors") else 1  # a vector of [CLS] and [SEP] says nothing
    if not lowest <= values["max_length"] <= positions:
        limit = (
            "the longest text of the sentence encoder" if values.get("sentence_vectors") else "the model's positions"
        )
        least = f"{lowest} or more, and " if lowest > 1 else ""
        raise ValueError(f"max_length: found {values['max_length']}, expected {least}at most {positions} ({limit})")
    questions = values.get("max_query", FineTuningSettings.max_query)
    if squad and values["max_length"] < questions + BESIDE_THE_QUESTION:
        raise ValueError(
            f"--max-query: found {questions} pieces for a question, which leaves no room in {values['max_length']}"
            f" (the model has {positions} positions); expected fewer, such as --max-query 16 --stride 32"
        )
    return FineTuningSettings(task=task, **values)


def search_space(words):
    """`lr=1e-5,3e-5 batch=32`: the search space of the paper, with these values replaced -> {name: values}"""
    space, given = dict(SEARCH), set()
    for word in words:
        name, _, values = word.partition("=")
        if name not in SEARCH or not values:
            raise ValueError(f"--search: found {word!r}, expected one of lr=..., batch=..., epochs=...")
        if name in given:
            raise ValueError(f"--search: found {name}= twice, expected it once")
        given.add(name)
        space[name] = tuple(numbers_of(values, SHAPES[_SEARCHED[name]], f"--search: {name}"))
    return space
