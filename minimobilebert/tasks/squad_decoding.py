"""From start and end scores of all windows to answers, as BERT does (section 4.2 and 4.3, and its run_squad).

    null odds     null score - best score        no answer if above the threshold; the scores: squad_search.py

BERT knows only which blank-separated words a piece is from, writes down whole words, and then looks in them for
something that reads like the pieces (get_final_text); where that fails it keeps the words with the quote or bracket
around them. Our pieces know their characters, so the answer is the slice of the context from the first character of
piece i to the last of piece j: there is nothing to reconstruct. A label decodes to the answer it was made from,
character by character, unless that begins or ends inside a piece.
"""

from typing import NamedTuple

from .squad_search import best_answers_of_all


class SquadAnswers(NamedTuple):
    answers: dict  # id -> text, "" for no answer
    n_best: dict  # id -> list of Candidate, best first
    null_odds: dict  # id -> float, how much better "no answer" scores than the best answer; None for v1.1


def choose_answer(candidates, null_threshold=0.0):
    """-> answer, null odds; odds are None without a "no answer" among the candidates"""
    texts = [c for c in candidates if c.text]
    nulls = [c for c in candidates if not c.text]
    if not texts:
        return "", (nulls[0].score if nulls else None)  # against a score of 0, as the released code does
    if not nulls:
        return texts[0].text, None
    odds = nulls[0].score - texts[0].score
    return ("" if odds > null_threshold else texts[0].text), odds


def decode(features, rows, *, n_best=20, max_answer_length=30, null_threshold=0.0):
    """Logits of all windows, in their order -> SquadAnswers of all questions; arguments as of `best_answers_of_all`"""
    answers, lists, odds = {}, {}, {}
    everything = best_answers_of_all(features, rows, n_best=n_best, max_answer_length=max_answer_length)
    for question, found in zip(features.dataset.questions, everything, strict=True):
        lists[question.id] = found
        answers[question.id], odds[question.id] = choose_answer(found, null_threshold)
    return SquadAnswers(answers, lists, odds if features.dataset.version == "2.0" else None)
