"""From start and end scores of all windows to answers, as in BERT (its Sections 4.2 and 4.3, and run_squad).

    null odds     null score - best score        no answer if above the threshold; see squad_search.py for the scores

run_squad maps a piece only to white-space separated words. It therefore aligns the pieces with the words afterwards
(get_final_text) and keeps whole words, with quotes or brackets, if this fails. Our pieces have character offsets: the
answer is the slice of the context from the first character of piece i to the last character of piece j. A label decodes
exactly to its gold answer, unless the answer starts or ends inside a piece.
"""

from typing import NamedTuple

from .squad_search import best_answers_of_all


class SquadAnswers(NamedTuple):
    answers: dict  # id -> text, "" for no answer
    n_best: dict  # id -> list of Candidate, best first
    null_odds: dict  # id -> float, score of "no answer" minus score of the best answer; None for v1.1


def choose_answer(candidates, null_threshold=0.0):
    """-> answer, null odds; the odds are None if "no answer" is not among the candidates"""
    texts = [c for c in candidates if c.text]
    nulls = [c for c in candidates if not c.text]
    if not texts:
        return "", (nulls[0].score if nulls else None)  # best score 0, as in the released code
    if not nulls:
        return texts[0].text, None
    odds = nulls[0].score - texts[0].score
    return ("" if odds > null_threshold else texts[0].text), odds


def decode(features, rows, *, n_best=20, max_answer_length=30, null_threshold=0.0):
    """Logits of all windows in order -> SquadAnswers of all questions; arguments as in `best_answers_of_all`"""
    answers, lists, odds = {}, {}, {}
    everything = best_answers_of_all(features, rows, n_best=n_best, max_answer_length=max_answer_length)
    for question, found in zip(features.dataset.questions, everything, strict=True):
        lists[question.id] = found
        answers[question.id], odds[question.id] = choose_answer(found, null_threshold)
    return SquadAnswers(answers, lists, odds if features.dataset.version == "2.0" else None)
