"""Small SQuAD datasets, files and a vocabulary for the tests: no data needed."""

import json

from minimobilebert.tasks.squad_data import Answer, SquadDataset, SquadQuestion
from minimobilebert.text.wordpiece import SPECIAL_TOKENS, WordPieceTokenizer

CHARACTERS = "abcdefghijklmnopqrstuvwxyz0123456789.,!?'\"()-–£日本"
TOKENIZER = WordPieceTokenizer(
    [*SPECIAL_TOKENS, *CHARACTERS, *("##" + c for c in CHARACTERS), "japan", "##ese", "18", "the", "ship"]
)


def question(name="q", text="who?", answers=(("ship", 4),), **more):
    """One question as a file has it; more: fields to change, None to leave out."""
    found = {"id": name, "question": text, "answers": [{"text": t, "answer_start": s} for t, s in answers], **more}
    return {field: value for field, value in found.items() if value is not None}


def squad_json(*questions, context="the ship sails.", version="1.1"):
    """One article of one paragraph as a file has it."""
    paragraph = {"context": context, "qas": list(questions)}
    return {"version": version, "data": [{"title": "Ships", "paragraphs": [paragraph]}]}


def write(path, value):
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


def dataset(contexts, questions, version="1.1", training=True):
    """contexts: list of str; questions: list of (context number, question, (text, start) or None)"""
    return SquadDataset(
        [
            SquadQuestion(f"q{n}", "", c, text, () if answer is None else (Answer(*answer),), answer is None)
            for n, (c, text, answer) in enumerate(questions)
        ],
        list(contexts),
        list(range(len(contexts))),
        version,
        training,
    )
