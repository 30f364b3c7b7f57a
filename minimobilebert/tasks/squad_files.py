"""SQuAD's result files: answers, n-best lists, and the odds of "no answer".

    predictions.json         {id: text}, "" for no answer
    nbest_predictions.json   {id: [{"text", "probability", "start_logit", "end_logit"}, ...]}, best first
    null_odds.json           {id: score of "no answer" - score of the best answer}, v2.0 only

Names and formats are those of BERT's run_squad.
"""

import pathlib

from ..support.files import write_json
from ..support.structured_files import read_json

MOST_BYTES = 2**30


def write_answers(folder, found):
    """Write SquadAnswers as the files above in `folder` -> list of their paths"""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    lists = {
        name: [
            {"text": c.text, "probability": c.probability, "start_logit": c.start_logit, "end_logit": c.end_logit}
            for c in candidates
        ]
        for name, candidates in found.n_best.items()
    }
    files = {"predictions.json": found.answers, "nbest_predictions.json": lists, "null_odds.json": found.null_odds}
    paths = []
    for name, value in files.items():
        if value is not None:
            paths.append(folder / name)
            write_json(paths[-1], value)
    return paths


def read_answers(path):
    """predictions.json -> {id: text}. ValueError with the file and the id if an answer is not a string."""
    return read_json(path, {str: str}, MOST_BYTES)


def read_null_odds(path):
    """null_odds.json -> {id: float}. ValueError with the file and the id if the odds are not a finite number."""
    return {name: float(value) for name, value in read_json(path, {str: float}, MOST_BYTES).items()}
