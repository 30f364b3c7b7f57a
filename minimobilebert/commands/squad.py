"""The command that scores a file of answers to SQuAD."""

import json
import sys

from .options import file_name, json_option, number


def _note(problem, ids, total, result):
    if ids:
        print(f"{problem} for {len(ids)} of {total} ids (first: {ids[0]}); {result}", file=sys.stderr)


def squad_score(arguments):
    from ..tasks.squad_data import read_squad
    from ..tasks.squad_files import read_answers, read_null_odds
    from ..tasks.squad_scores import squad_scores

    dataset = read_squad(arguments.dataset)
    answers = read_answers(arguments.predictions)
    odds = read_null_odds(arguments.null_odds) if arguments.null_odds else None
    ids = {question.id: None for question in dataset.questions}
    missing, unknown = [i for i in ids if i not in answers], [i for i in answers if i not in ids]
    if len(missing) == len(ids):
        raise ValueError(
            f"{arguments.predictions}: found no answer to a question of {arguments.dataset}, expected its ids"
        )
    scores = squad_scores(dataset, answers, odds, arguments.null_threshold)
    _note("no prediction", missing, len(ids), "they score 0")
    _note("no such question", unknown, len(answers), "left out")
    if arguments.json:
        print(json.dumps(scores, indent=2))
    else:
        width = max(map(len, scores))
        for name, value in scores.items():
            print(f"{name:<{width}}  {value:12.6f}" if type(value) is float else f"{name:<{width}}  {value:5d}")
    return 0


def _squad_score_arguments(parser):
    parser.add_argument(
        "dataset", type=file_name, help="questions with their answers: a file of SQuAD v1.1, v2.0 or of that shape"
    )
    parser.add_argument("predictions", type=file_name, help="answers: a JSON file {id: text}")
    parser.add_argument(
        "--null-odds", type=file_name, metavar="FILE", help='v2.0: {id: number}, the higher the surer of "no answer"'
    )
    parser.add_argument("--null-threshold", type=number, default=1.0, metavar="X",
                        help='odds above it count as "no answer" (default 1, as in the official program)')  # fmt: skip
    json_option(parser)


COMMANDS = {
    "squad-score": (
        "score answers to SQuAD's questions as the official programs do",
        "dev-v2.0.json predictions.json --null-odds null_odds.json", _squad_score_arguments, squad_score,
    ),
}  # fmt: skip
