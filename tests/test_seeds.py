"""The table over seeds: means, spread, and the count of seeds that hold each claim."""

import pytest

from minimobilebert.pipeline.seeds import CLAIMS, table


def summary(seed, teacher, student, scratch, nsp=0.7, task=0.8):
    models = {"teacher": teacher, "student": student, "student_from_scratch": scratch}
    scores = {m: {"mlm_loss": loss, "nsp_accuracy": nsp, "task_accuracy": task} for m, loss in models.items()}
    return {"seed": seed, "unigram_mlm_loss": 6.5, "seconds": {"total": 60.0}, **scores}


def test_table_counts_claims_and_averages():
    lines = table([summary(1, 4.6, 4.5, 4.8), summary(2, 4.8, 4.95, 5.0, nsp=0.6)]).splitlines()
    assert lines[2].startswith("| 1 | 6.500 | 4.600 | 4.500 | 4.800 | 0.700")
    assert any(line.startswith("| mean | 6.500 | 4.700 | 4.725 | 4.900 | 0.650") for line in lines)
    assert any(line.startswith("| std | 0.000 | 0.141 | 0.318") for line in lines)
    counts = {line[2:].rpartition(":")[0]: line.split()[-4] for line in lines if line.startswith("- ")}
    assert counts == dict(zip(CLAIMS, ["1", "1", "1", "1"], strict=True))


@pytest.mark.parametrize(
    ("claim", "good", "bad"),
    [
        (0, summary(1, 4.6, 4.59, 4.8), summary(1, 4.6, 4.61, 4.8)),
        (1, summary(1, 4.6, 4.69, 5.0), summary(1, 4.6, 4.71, 5.0)),
        (2, summary(1, 4.69, 4.5, 5.0), summary(1, 4.71, 4.5, 5.0)),
        (3, summary(1, 4.6, 4.5, 5.0, nsp=0.66), summary(1, 4.6, 4.5, 5.0, nsp=0.64)),
    ],
)
def test_each_claim_can_fail(claim, good, bad):
    holds = list(CLAIMS.values())[claim]
    assert holds(good) and not holds(bad)
