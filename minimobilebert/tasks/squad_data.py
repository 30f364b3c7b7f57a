"""SQuAD files: articles, their paragraphs, and questions on each paragraph with gold answers.

    {"version": "v2.0", "data": [{"title": ..., "paragraphs": [{"context": ..., "qas": [
        {"id": ..., "question": ..., "is_impossible": false, "answers": [{"text": ..., "answer_start": 159}]}]}]}]}

In v1.1 there is no `is_impossible`, and each question has an answer. v2.0 also has questions without an answer. An
answer is the substring of the context at character `answer_start`. Training requires this; scoring only compares texts.
"""

from typing import NamedTuple

from ..support.shapes import shown, shown_key
from ..support.structured_files import read_json

MOST_BYTES = 2**30  # SQuAD has 40 MB; other data sets in this format have up to twenty times as much
_TYPE_NAMES = {str: "text", list: "a list", dict: "an object", int: "a whole number", bool: "true or false"}


class Answer(NamedTuple):
    text: str
    start: int  # character offset in the context; for scoring it is not checked, and None if the file has none


class SquadQuestion(NamedTuple):
    id: str
    title: str  # of the article, "" if it has none
    context_number: int  # index of its paragraph in SquadDataset.contexts
    question: str
    answers: tuple  # of Answer; empty if there is none
    is_impossible: bool


class SquadDataset(NamedTuple):
    questions: list  # of SquadQuestion
    contexts: list  # of str
    articles: list  # of int, the article of each context, ascending from 0
    version: str  # "1.1" or "2.0"; determines whether questions without an answer may occur, and the metrics
    training: bool  # True: each answer is in its context at `start`


def _found(value):
    return _TYPE_NAMES.get(type(value)) or shown(value)


def _field(holder, name, expected_type, location):
    if type(holder) is not dict:
        raise ValueError(f"{location}: found {_found(holder)}, expected an object with {name!r}")
    if name not in holder:
        raise ValueError(f"{location}: found no {name!r}, expected {_TYPE_NAMES[expected_type]}")
    value = holder[name]
    if type(value) is not expected_type:  # not isinstance, because bool is a subclass of int
        raise ValueError(f"{location}: {name}: found {_found(value)}, expected {_TYPE_NAMES[expected_type]}")
    if expected_type is str and not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise ValueError(f"{location}: {name}: found half a character at {error.start}, expected Unicode") from None
    return value


def _answer(found, context, training, location):
    text = _field(found, "text", str, location)
    if not training:
        start = found.get("answer_start")
        return Answer(text, start if type(start) is int else None)
    start = _field(found, "answer_start", int, location)
    if not text.strip():
        raise ValueError(f"{location}: found an answer without a letter, expected a piece of the context")
    if start < 0 or not context.startswith(text, start):
        found_text = context[max(start, 0) :][: len(text)]
        raise ValueError(
            f"{location}: found {shown(found_text)} at answer_start {shown(start)}, expected the answer {shown(text)}"
        )
    return Answer(text, start)


def _question(found, title, number, context, declared_v2, training, location):
    answers = tuple(_answer(a, context, training, location) for a in _field(found, "answers", list, location))
    impossible = declared_v2 and not answers
    if "is_impossible" in found:
        impossible = _field(found, "is_impossible", bool, location)
    if impossible == bool(answers):
        expected = "none: is_impossible is true" if impossible else "at least one"
        raise ValueError(f"{location}: found {len(answers)} answers, expected {expected}")
    return SquadQuestion(found["id"], title, number, _field(found, "question", str, location), answers, impossible)


def read_squad(path, *, training=False, leave_out=()):
    """Read a file in the format of SQuAD v1.1 or v2.0 -> SquadDataset

    training: check that each answer is at its `answer_start`; leave_out: ids of questions that are excluded before this
    check. ValueError of one line with file and id if the file is damaged, a field is missing or has another type, an id
    occurs twice, an id of `leave_out` does not exist, or no question remains.
    """
    everything = read_json(path, most=MOST_BYTES)
    version = everything.get("version") if isinstance(everything, dict) else None
    declared_v2 = str(version).removeprefix("v").startswith("2")
    questions, contexts, articles, ids = [], [], [], set()
    version_2, leave_out = declared_v2, frozenset(leave_out)
    for a, article in enumerate(_field(everything, "data", list, path)):
        paragraphs = _field(article, "paragraphs", list, f"{path}: data[{a}]")
        title = _field(article, "title", str, f"{path}: data[{a}]") if "title" in article else ""
        for p, paragraph in enumerate(paragraphs):
            location = f"{path}: data[{a}].paragraphs[{p}]"
            context = _field(paragraph, "context", str, location)
            for q, found in enumerate(_field(paragraph, "qas", list, location)):
                name = _field(found, "id", str, f"{location}.qas[{q}]")
                if name in ids:
                    raise ValueError(f"{location}: id {shown_key(name)}: found a second time, expected every id once")
                ids.add(name)
                version_2 = version_2 or "is_impossible" in found
                if name not in leave_out:
                    questions.append(
                        _question(
                            found, title, len(contexts), context, declared_v2, training, f"{path}: id {shown_key(name)}"
                        )
                    )
            contexts.append(context)
            articles.append(a)
    if not leave_out <= ids:
        raise ValueError(
            f"{path}: found no id {shown_key(min(leave_out - ids))}, which is to be left out; expected it there"
        )
    if not questions:
        raise ValueError(f"{path}: found no question, expected at least one")
    return SquadDataset(questions, contexts, articles, "2.0" if version_2 else "1.1", training)


def read_ids(path):
    """Read a JSON file with a list of ids for `leave_out` -> list of str"""
    return read_json(path, [str])


def _part(dataset, start, stop):
    """The articles `start` to `stop` - 1; their contexts and articles are numbered from 0 again."""
    kept = [number for number, article in enumerate(dataset.articles) if start <= article < stop]
    new = {number: index for index, number in enumerate(kept)}
    return dataset._replace(
        questions=[
            q._replace(context_number=new[q.context_number]) for q in dataset.questions if q.context_number in new
        ],
        contexts=[dataset.contexts[number] for number in kept],
        articles=[dataset.articles[number] - start for number in kept],
    )


def split_by_article(dataset, first):
    """Split after the first `first` articles -> two SquadDataset without a common text. ValueError if one is empty."""
    count = 1 + max(dataset.articles)
    parts = _part(dataset, 0, first), _part(dataset, first, count)
    if not all(part.questions for part in parts):
        raise ValueError(f"first: found {first} of {count} articles, expected questions on both sides")
    return parts


def single_question(question, passage):
    """A dataset with one question on one text, for prediction; v2.0, because the text may not contain an answer."""
    for name, text in (("question", question), ("passage", passage)):
        if not text.strip():
            raise ValueError(f"{name}: found nothing, expected words")
    return SquadDataset([SquadQuestion("question", "", 0, question, (), True)], [passage], [0], "2.0", False)
