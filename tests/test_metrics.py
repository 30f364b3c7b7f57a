"""Scores of the GLUE tasks against oracles from the standard library, scikit-learn and SciPy."""

import math
import statistics
import warnings

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from minimobilebert.tasks.glue import TASKS, glue_task
from minimobilebert.tasks.metrics import METRICS, accuracy, f1, glue_average, glue_scores, matthews, pearson, spearman

classes = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), max_size=60)
# Few values: many ties. A third decimal as in STS-B; no two differ by less than the arithmetic can tell.
numbers = st.lists(st.tuples(*[st.integers(-5000, 5000).map(lambda n: n / 1000) | st.integers(0, 3)] * 2), max_size=40)
RELATIVE = 1e-9  # sums of 40 float64 products; cancellation in x - mean x costs some of the 16 digits


def columns(pairs, dtype):
    return tuple(np.array([pair[k] for pair in pairs], dtype) for k in (0, 1))


def correlation(x, y):
    """Pearson by the standard library; 0 where there is none."""
    try:
        return statistics.correlation(x, y)
    except statistics.StatisticsError:  # a constant, or fewer than two
        return 0.0


def counted_ranks(x):
    return [sum(b < a for b in x) + (sum(b == a for b in x) + 1) / 2 for a in x]


@given(classes)
@example([])
@example([(1, 1)])
@example([(0, 0)])
@example([(1, 0), (1, 1)])
@example([(0, 1), (1, 1)])
def test_scores_of_classes_by_their_definitions(pairs):
    p, t = columns(pairs, np.int32)
    hits = sum(a == b == 1 for a, b in pairs)
    precision = hits / max(sum(a for a, _ in pairs), 1)
    recall = hits / max(sum(b for _, b in pairs), 1)
    assert accuracy(p, t) == pytest.approx(sum(a == b for a, b in pairs) / max(len(pairs), 1), abs=1e-15)
    assert f1(p, t) == pytest.approx(2 * precision * recall / (precision + recall) if hits else 0.0, rel=1e-12)
    # Matthews is Pearson of two rows of zeros and ones.
    assert matthews(p, t) == pytest.approx(correlation(*zip(*pairs, strict=True)) if pairs else 0.0, abs=RELATIVE)


@given(numbers)
@example([])
@example([(1.0, 2.0)])
@example([(0.1, 0.1)] * 7)  # 0.1 - mean is not 0 in float64
@example([(0.1, 1.0), (0.1, 2.0), (0.1, 3.0)])
@example([(1.0, 3.0), (2.0, 2.0), (2.0, 2.0), (3.0, 1.0)])
def test_correlations_by_their_definitions(pairs):
    x, y = columns(pairs, np.float64)
    assert pearson(x, y) == pytest.approx(correlation(list(x), list(y)), abs=RELATIVE)
    assert spearman(x, y) == pytest.approx(correlation(counted_ranks(x), counted_ranks(y)), abs=RELATIVE)


@given(classes.filter(len))
def test_scores_of_classes_as_in_scikit_learn(pairs):
    sklearn = pytest.importorskip("sklearn.metrics", reason="needs the extra compare: make setup EXTRAS=compare")
    p, t = columns(pairs, np.int32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of one class only
        expected = sklearn.matthews_corrcoef(t, p), sklearn.f1_score(t, p, zero_division=0.0)
        assert (matthews(p, t), f1(p, t)) == pytest.approx(expected, abs=1e-12)
        assert accuracy(p, t) == pytest.approx(sklearn.accuracy_score(t, p), abs=1e-15)


@given(numbers)
def test_correlations_as_in_scipy(pairs):
    stats = pytest.importorskip("scipy.stats", reason="needs the extra compare: make setup EXTRAS=compare")
    x, y = columns(pairs, np.float64)
    if len(set(x)) < 2 or len(set(y)) < 2:
        assert pearson(x, y) == spearman(x, y) == 0.0  # SciPy: NaN
        return
    assert pearson(x, y) == pytest.approx(stats.pearsonr(x, y).statistic, abs=RELATIVE)
    assert spearman(x, y) == pytest.approx(stats.spearmanr(x, y).statistic, abs=RELATIVE)


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("size", [0, 1, 2, 7])
@pytest.mark.parametrize("prediction", [0, 1])
@pytest.mark.parametrize("label", [0, 1])
def test_constant_answers_give_a_number(name, size, prediction, label):
    score = METRICS[name](np.full(size, prediction), np.full(size, label))
    right = {"accuracy": prediction == label, "f1": prediction == label == 1}.get(name, False)
    assert score == (1.0 if size and right else 0.0)
    assert type(score) is float


def test_a_perfect_answer_is_exactly_one():
    """Rounding must not pass 1, and a float32 column that varies in its last digits only is no constant."""
    rng = np.random.default_rng(3)
    for _ in range(50):
        x = (1000 + 1e-3 * rng.random(9)).astype(np.float32)
        assert 1 - 1e-12 < pearson(x, x) <= 1.0 and 1 - 1e-12 < spearman(x, 2 * x) <= 1.0
        assert -1.0 <= pearson(x, -x) < -1 + 1e-12
    for scale in (1e-300, 1e300):  # squares of these are 0 and infinity
        assert pearson(np.array([1.0, 2.0, 4.0]) * scale, np.array([1.0, 2.0, 4.0])) == pytest.approx(1.0, rel=1e-12)


def test_large_counts_do_not_overflow():
    """The product of four counts of QQP's size is far beyond 64 bits."""
    t = np.arange(390_965) % 2
    assert matthews(t, t) == pytest.approx(1.0, rel=1e-12)
    assert matthews(1 - t, t) == pytest.approx(-1.0, rel=1e-12)


@pytest.mark.parametrize("name", METRICS)
def test_unusable_answers_are_refused(name):
    with pytest.raises(ValueError, match=r"predictions: found shape \(2,\), expected as many as labels \(3,\)"):
        METRICS[name](np.zeros(2), np.zeros(3))
    with pytest.raises(ValueError, match=r"predictions: found shape \(2, 1\)"):
        METRICS[name](np.zeros((2, 1)), np.zeros((2, 1)))
    with pytest.raises(ValueError, match="predictions: found nan, expected finite"):
        METRICS[name](np.array([0.0, math.nan]), np.zeros(2))
    with pytest.raises(ValueError, match="labels: found inf, expected finite"):
        METRICS[name](np.zeros(2), np.array([0.0, math.inf]))


def test_every_task_has_its_scores():
    p, t = np.array([1, 1, 0, 0, 1]), np.array([1, 0, 0, 1, 1])
    by_hand = {"accuracy": 3 / 5, "f1": 2 / 3, "matthews": (2 * 1 - 1 * 1) / 36**0.5}
    for name in ("cola", "sst2", "mrpc", "qqp", "qnli", "rte"):
        task = glue_task(name)
        expected = {"cola": ["matthews"], "mrpc": ["f1", "accuracy"], "qqp": ["f1", "accuracy"]}.get(name, ["accuracy"])
        assert glue_scores(task, p, t) == pytest.approx({score: by_hand[score] for score in expected})
        assert list(glue_scores(task, p, t)) == expected
    assert glue_scores(glue_task("mnli"), np.array([0, 1, 2, 2]), np.array([0, 1, 2, 1])) == {"accuracy": 0.75}
    scores = glue_scores(glue_task("stsb"), np.array([1.0, 2.0, 9.0]), np.array([1.0, 2.0, 3.0]))
    assert list(scores) == ["pearson", "spearman"]
    assert scores["spearman"] == pytest.approx(1.0) and 0.9 < scores["pearson"] < 0.95  # not of the ranks


def test_the_best_checkpoint_is_picked_by_the_mean_of_the_scores():
    assert glue_task("mrpc").selection({"f1": 0.9, "accuracy": 0.8}) == pytest.approx(0.85)
    assert glue_task("stsb").selection({"pearson": 0.9, "spearman": 0.7}) == pytest.approx(0.8)
    assert glue_task("cola").selection({"matthews": 0.5}) == 0.5


def test_the_average_is_that_of_the_leaderboard():
    """BERT-large's row at gluebenchmark.com: 80.5 with WNLI (65.1) as a ninth task."""
    results = {
        "cola": {"test": {"matthews": 60.5}},
        "sst2": {"test": {"accuracy": 94.9}},
        "mrpc": {"test": {"f1": 89.3, "accuracy": 85.4}},
        "stsb": {"test": {"pearson": 87.6, "spearman": 86.5}},
        "qqp": {"test": {"f1": 72.1, "accuracy": 89.3}},
        "mnli": {"test_matched": {"accuracy": 86.7}, "test_mismatched": {"accuracy": 85.9}},
        "qnli": {"test": {"accuracy": 92.7}},
        "rte": {"test": {"accuracy": 70.1}},
    }
    average, missing = glue_average(results)
    assert missing == ()
    assert round((8 * average + 65.1) / 9, 1) == 80.5


def test_the_average_names_what_is_missing():
    average, missing = glue_average({"rte": {"dev": {"accuracy": 0.5}}, "mnli": {"dev_matched": {"accuracy": 0.7}}})
    assert average == pytest.approx(0.6)
    assert missing == ("cola", "sst2", "mrpc", "stsb", "qqp", "mnli dev_mismatched", "qnli")
    with pytest.raises(ValueError, match="results: found no task"):
        glue_average({})
    with pytest.raises(ValueError, match="results: found task 'wnli', expected some of cola, sst2"):
        glue_average({"wnli": {"dev": {"accuracy": 0.5}}})
    assert set(TASKS) == {"cola", "sst2", "mrpc", "stsb", "qqp", "mnli", "qnli", "rte"}
