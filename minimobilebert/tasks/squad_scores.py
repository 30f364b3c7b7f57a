"""SQuAD's metrics: exact match and F1 (Rajpurkar et al. 2016, section 6.1; 2018, section 4.2).

    words(text)   lower case; without punctuation; without a, an, the; split at white space
    exact         1 if the words equal those of a gold answer, in order, else 0
    precision     shared words / words of the answer       a word that occurs twice in both is shared twice
    recall        shared words / words of the gold answer
    F1            2 precision recall / (precision + recall), 0 without a shared word; maximum over the gold answers

Scores are means over all questions, in percent. A question without a prediction scores 0.

In v2.0 the gold answer of an unanswerable question is "", and so is that of a question with no words in its gold
answers. If the answer or the gold answer has no words, F1 is 1 if both have none, else 0. (In v1.1 it is always 0.)
"""

import collections
import math
import re
import string
from typing import NamedTuple

_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_WITHOUT_PUNCTUATION = str.maketrans("", "", string.punctuation)


def words(text):
    """The normalised words of an answer, list of str. It removes only ASCII punctuation and keeps "them"."""
    text = text.lower().translate(_WITHOUT_PUNCTUATION)
    return _ARTICLES.sub(" ", text).split()


def exact_match(answer, gold):
    return float(words(answer) == words(gold))


def f1(answer, gold, empty_matches_empty):
    """empty_matches_empty: the rule of v2.0 for an answer or a gold answer without words"""
    answer, gold = words(answer), words(gold)
    if empty_matches_empty and not (answer and gold):
        return float(answer == gold)
    shared = (collections.Counter(answer) & collections.Counter(gold)).total()
    if not shared:
        return 0.0
    precision, recall = shared / len(answer), shared / len(gold)
    return 2 * precision * recall / (precision + recall)


class QuestionScore(NamedTuple):
    id: str
    has_answer: bool
    predicted: bool  # False: there is no prediction, and the scores are 0 whatever the odds
    empty: bool  # the prediction is ""
    exact: float  # 0 or 1
    f1: float  # 0 to 1


def score_questions(dataset, answers):
    """dataset: SquadDataset; answers: {id: text} -> list of QuestionScore, in the order of the dataset"""
    version_2 = dataset.version == "2.0"
    scores = []
    for question in dataset.questions:
        answer = answers.get(question.id)
        if answer is None:
            scores.append(QuestionScore(question.id, bool(question.answers), False, False, 0.0, 0.0))
            continue
        gold = [a.text for a in question.answers]
        if version_2:
            gold = [text for text in gold if words(text)] or [""]
        exact = max(exact_match(answer, text) for text in gold)
        best = max(f1(answer, text, version_2) for text in gold)
        scores.append(QuestionScore(question.id, bool(question.answers), True, not answer, exact, best))
    return scores


def _means(scores, prefix=""):
    if not scores:
        return {}
    return {
        f"{prefix}exact": 100.0 * sum(s.exact for s in scores) / len(scores),
        f"{prefix}f1": 100.0 * math.fsum(s.f1 for s in scores) / len(scores),
        f"{prefix}total": len(scores),
    }


def abstain(scores, null_odds, threshold):
    """Replace the answer by "" for questions with null odds above the threshold -> list of QuestionScore"""
    return [
        s._replace(exact=float(not s.has_answer), f1=float(not s.has_answer))
        if s.predicted and null_odds[s.id] > threshold
        else s
        for s in scores
    ]


def best_threshold(scores, null_odds, name):
    """The threshold with the best mean of `name` ("exact", "f1") -> mean in percent, threshold

    Start with "no answer" to all questions, which is correct for all unanswerable ones. Then answer the questions in
    ascending order of their odds: an answerable question adds its score, an unanswerable one subtracts 1 unless its
    answer is "". As in the official program, questions with equal odds are not grouped, and the threshold 0 means that
    no question is answered.
    """
    by_id = {s.id: s for s in scores if s.predicted}
    total = best = float(sum(not s.has_answer for s in by_id.values()))
    threshold = 0.0
    for s in (by_id[i] for i in sorted(null_odds, key=null_odds.get) if i in by_id):
        total += getattr(s, name) if s.has_answer else -float(not s.empty)
        if total > best:
            best, threshold = total, null_odds[s.id]
    return 100.0 * best / len(scores), threshold


def squad_scores(dataset, answers, null_odds=None, null_threshold=1.0):
    """dataset: SquadDataset; answers: {id: text} -> {official name of the score: value}

    v1.1: exact, f1, total. v2.0: also HasAns_... and NoAns_... for the questions with and without an answer, if there
    are any. With null_odds (v2.0 only), the answer of a question with odds above `null_threshold` is "", and
    best_exact, best_exact_thresh, best_f1, best_f1_thresh are the results of the best threshold. ValueError if odds are
    missing, or for v1.1.
    """
    if dataset.version != "2.0" and null_odds is not None:
        raise ValueError("null odds: found some for a dataset where every question has an answer, expected none")
    raw = scores = score_questions(dataset, answers)
    if dataset.version != "2.0":
        return _means(scores)
    if null_odds is not None:
        missing = [s.id for s in scores if s.id not in null_odds]
        if missing:
            raise ValueError(
                f"null odds: found none for {len(missing)} of {len(scores)} questions (first: id {missing[0]}), "
                "expected a number for every question"
            )
        scores = abstain(raw, null_odds, null_threshold)
    found = _means(scores)
    found |= _means([s for s in scores if s.has_answer], "HasAns_")
    found |= _means([s for s in scores if not s.has_answer], "NoAns_")
    if null_odds is not None:
        for name in ("exact", "f1"):
            found[f"best_{name}"], found[f"best_{name}_thresh"] = best_threshold(raw, null_odds, name)
    return found
