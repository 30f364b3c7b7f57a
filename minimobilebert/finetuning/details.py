"""What a model got right and wrong on labelled rows, for `evaluate` and for the report of a run.

classes       of each class: rows, precision, recall, F1
confusion     counts of rows by label and prediction
calibration   rows by the confidence of the model, the probability of its prediction: how often is it right?
points        regression: a label and its prediction for each row
questions     SQuAD: exact match and F1 by the first word of the question
worst         the mistakes that the model was surest of, or the largest differences, with their texts
"""

import re

import numpy as np

from ..ops.softmax import softmax_forward
from ..tasks.class_scores import class_scores, confusion_matrix
from ..tasks.squad_scores import abstain, score_questions

BINS, WORST = 10, 10  # ranges of confidence; mistakes that are shown
_QUESTION_WORDS = ("what", "when", "where", "which", "who", "whom", "whose", "why", "how")
MOST_POINTS = 2000  # of a regression; of more rows, evenly chosen ones


def _texts_of(texts, row):
    """The text, or the two texts, of a row -> dict; texts: firsts, seconds or None"""
    firsts, seconds = texts
    return {"text": firsts[row]} | ({"text_b": seconds[row]} if seconds else {})


def class_details(logits, labels, classes, texts):
    """logits [N, C], labels [N] class numbers, texts: firsts, seconds or None -> dict"""
    shares, _ = softmax_forward(logits)
    found, sure = shares.argmax(axis=1), shares.max(axis=1)
    confusion = confusion_matrix(found, labels, len(classes))
    scores = zip(*class_scores(confusion), strict=True)
    bins = np.minimum((BINS * sure).astype(int), BINS - 1)
    calibration = [
        {"rows": int(inside.sum()), "confidence": float(sure[inside].mean()),
         "accuracy": float((found == labels)[inside].mean())}
        for inside in (bins == b for b in range(BINS)) if inside.any()
    ]  # fmt: skip
    wrong = np.flatnonzero(found != labels)
    worst = wrong[np.argsort(-sure[wrong], kind="stable")][:WORST]
    return {
        "classes": [
            {"name": name, "rows": int(rows), "precision": float(p), "recall": float(r), "f1": float(f)}
            for name, rows, (p, r, f) in zip(classes, confusion.sum(axis=1), scores, strict=True)
        ],
        "confusion": confusion.tolist(),
        "calibration": calibration,
        "worst": [{**_texts_of(texts, i), "label": classes[labels[i]], "prediction": classes[found[i]],
                   "confidence": float(sure[i])} for i in worst],
    }  # fmt: skip


def regression_details(predictions, labels, texts):
    """predictions, labels [N], texts: firsts, seconds or None -> dict"""
    chosen = np.unique(np.linspace(0, len(labels) - 1, min(len(labels), MOST_POINTS)).astype(int))
    worst = np.argsort(-np.abs(predictions - labels), kind="stable")[:WORST]
    return {
        "points": [[float(labels[i]), float(predictions[i])] for i in chosen],
        "worst": [{**_texts_of(texts, i), "label": float(labels[i]), "prediction": float(predictions[i])}
                  for i in worst],
    }  # fmt: skip


def question_details(dataset, found, threshold):
    """SquadDataset, SquadAnswers with the best answers; threshold: null odds above which there is no answer -> dict"""
    scores = score_questions(dataset, found.answers)
    if found.null_odds is not None:
        scores = abstain(scores, found.null_odds, threshold)
    by_word, wrong = {}, []
    for question, score in zip(dataset.questions, scores, strict=True):
        first = re.match(r"\w*", question.question.lower().strip())[0]
        by_word.setdefault(first if first in _QUESTION_WORDS else "other", []).append(score)
        if not score.f1:
            candidates = found.n_best[question.id]
            wrong.append((candidates[0].score if candidates else 0.0, question))
    wrong.sort(key=lambda pair: -pair[0])
    silent = {s.id for s in scores if found.null_odds is not None and found.null_odds[s.id] > threshold}
    return {
        "questions": [
            {"name": word, "rows": len(same), "exact": 100.0 * sum(s.exact for s in same) / len(same),
             "f1": 100.0 * sum(s.f1 for s in same) / len(same)}
            for word, same in sorted(by_word.items())
        ],
        "worst": [
            {"text": q.question, "label": q.answers[0].text if q.answers else "",
             "prediction": "" if q.id in silent else found.answers[q.id], "score": float(score)}
            for score, q in wrong[:WORST]
        ],
    }  # fmt: skip
