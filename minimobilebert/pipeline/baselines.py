"""`baselines`: scores of two simple models on a GLUE task, for comparison.

    majority       always predicts the most frequent class of the training set
    bag of words   logistic regression on word counts (for two texts: separate counts for each)

The bag of words uses scikit-learn (extra `compare`): counts of lower-cased words of at least two letters, L2 penalty 1.
"""

import numpy as np

from ..support.extras import require
from ..tasks.glue import dev_splits_of, glue_task, read_split
from ..tasks.metrics import glue_scores


def _texts(examples):
    return [side for side in (examples.firsts, examples.seconds) if side is not None]


def bag_of_words(train, others):
    """Fit on `train`, predict for each of `others`: GlueExamples, list of GlueExamples -> list of class numbers [N]"""
    text, linear_model = (require(f"sklearn.{part}", "compare") for part in ("feature_extraction.text", "linear_model"))
    sparse = require("scipy.sparse", "compare")
    counters = [text.CountVectorizer().fit(side) for side in _texts(train)]

    def counts(examples):
        columns = zip(counters, _texts(examples), strict=True)
        return sparse.hstack([counter.transform(side) for counter, side in columns]).tocsr()

    regression = linear_model.LogisticRegression(max_iter=2000).fit(counts(train), train.labels)
    return [regression.predict(counts(examples)) for examples in others]


def baselines(*, task, data):
    """Scores of both baselines on each dev split that exists -> {"majority": {split: scores}, "bag of words": ...}

    task: a GLUE classification task; data: the GLUE folder. ValueError for STS-B, which is a regression task.
    """
    task = glue_task(task)
    if task.labels is None:
        raise ValueError(f"--task: found {task.name}, expected a task with classes")
    require("sklearn", "compare")  # fail before reading data
    train = read_split(task, data, "train")
    dev = {split: read_split(task, data, split) for split in dev_splits_of(task, data)}
    most_frequent = np.bincount(train.labels).argmax()
    answers = {
        "majority": [np.full(len(examples.labels), most_frequent) for examples in dev.values()],
        "bag of words": bag_of_words(train, list(dev.values())),
    }
    return {
        name: {split: glue_scores(task, found, dev[split].labels) for split, found in zip(dev, each, strict=True)}
        for name, each in answers.items()
    }
