"""The ablations of the paper's Tables 7, 8 and 9, each as a change of the classroom settings.

All variants train the classroom student with the same teacher, batches and number of updates. A variant that occurs in
several tables is trained once.
"""

from typing import NamedTuple

FULL = "progressive"  # the full method of the paper: the last row of all three tables

# {name of a run: changes of TinySettings}; None: the student from scratch
RUNS = {
    FULL: {},
    "joint": {"strategy": "joint"},
    "auxiliary": {"strategy": "auxiliary"},
    "scratch": None,
    "distillation-only": {"strategy": "none"},
    "without-attention-transfer": {"attention_factor": 0.0},
    "layer_norm-gelu": {"student_normalization": "layer_norm", "student_activation": "gelu_tanh"},
    "layer_norm-relu": {"student_normalization": "layer_norm"},
    "no_norm-gelu": {"student_activation": "gelu_tanh"},
}


class Row(NamedTuple):
    label: str
    run: str  # a key of RUNS
    paper: tuple  # the paper's figures in this row


class Table(NamedTuple):
    title: str
    paper_columns: tuple  # headings of the paper's figures
    rows: tuple


TABLES = {
    7: Table(
        "Table 7: normalisation and activation",
        ("latency (ms, Pixel 4)",),
        (
            Row("LayerNorm & GELU", "layer_norm-gelu", (192,)),
            Row("LayerNorm & ReLU", "layer_norm-relu", (167,)),
            Row("NoNorm & GELU", "no_norm-gelu", (92,)),
            Row("NoNorm & ReLU", FULL, (62,)),
        ),
    ),
    8: Table(
        "Table 8: training strategies",
        ("MNLI-m", "QNLI", "MRPC", "SST-2", "SQuAD F1"),
        (
            Row("auxiliary (AKT)", "auxiliary", (83.0, 90.3, 86.8, 91.9, 88.2)),
            Row("joint (JKT)", "joint", (83.5, 90.5, 87.5, 92.0, 89.7)),
            Row("progressive (PKT)", FULL, (83.9, 91.0, 87.5, 92.1, 90.0)),
        ),
    ),
    9: Table(
        "Table 9: training objectives",
        ("MNLI-m", "QNLI", "MRPC", "SST-2"),
        (
            Row("bare", "scratch", (80.8, 88.2, 84.3, 90.1)),
            Row("+ PD", "distillation-only", (81.1, 88.9, 85.5, 91.7)),
            Row("+ PD + FMT", "without-attention-transfer", (83.8, 91.1, 87.0, 92.2)),
            Row("+ PD + FMT + AT", FULL, (84.4, 91.5, 87.0, 92.5)),
        ),
    ),
}
