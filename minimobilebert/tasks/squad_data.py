"""SQuAD's file: articles, their paragraphs, and questions about each paragraph with the answers people gave.

    {"version": "v2.0", "data": [{"title": ..., "paragraphs": [{"context": ..., "qas": [
        {"id": ..., "question": ..., "is_impossible": false, "answers": [{"text": ..., "answer_start": 159}]}]}]}]}

v1.1 has no `is_impossible` and every question has an answer. v2.0 has questions without one. An answer is the piece of
the context that starts at character `answer_start`. Training needs this to hold; scoring only compares texts.
"""

from typing import NamedTuple

from ..support.shapes import shown, shown_key
from ..support.structured_files import read_json

MOST_BYTES = 2**30  # SQuAD has 40 MB; collections of its form have twenty times that
_KINDS = {str: "text", list: "a list", dict: "an object", int: "a whole number", bool: "true or false"}


class Answer(NamedTuple):
    text: str
    start: int  # character of the context; in a dataset for scoring it is unchecked, and None where the file has none


class SquadQuestion(NamedTuple):
    id: str
    title: str  # of the article, "" if it has none
    context_number: int  # of its paragraph in SquadDataset.contexts
    question: str
    answers: tuple  # of Answer; empty if there is none
    is_impossible: bool


class SquadDataset(NamedTuple):
    questions: list  # of SquadQuestion
    contexts: list  # of str
    articles: list  # of int, one a context: which article it is from, ascending from 0
    version: str  # "1.1" or "2.0": whether questions without an answer may occur, and how it is scored
    training: bool  # every answer stands in its context where `start` says


def _found(value):
    return _KINDS.get(type(value)) or shown(value)


def _field(holder, name, kind, place):
    if type(holder) is not dict:
        raise ValueError(f"{place}: found {_found(holder)}, expected an object with {name!r}")
    if name not in holder:
        raise ValueError(f"{place}: found no {name!r}, expected {_KINDS[kind]}")
    value = holder[name]
    if type(value) is not kind:  # type(), because true is an instance of int
        raise ValueError(f"{place}: {name}: found {_found(value)}, expected {_KINDS[kind]}")
    if kind is str and not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise ValueError(f"{place}: {name}: found half a character at {error.start}, expected Unicode") from None
    return value


def _answer(found, context, training, place):
    text = _field(found, "text", str, place)
    if not training:
        start = found.get("answer_start")
        return Answer(text, start if type(start) is int else None)
    start = _field(found, "answer_start", int, place)
    if not text.strip():
        raise ValueError(f"{place}: found an answer without a letter, expected a piece of the context")
    if start < 0 or not context.startswith(text, start):
        there = context[max(start, 0) :][: len(text)]
        raise ValueError(
            f"{place}: found {shown(there)} at answer_start {shown(start)}, expected the answer {shown(text)}"
        )
    return Answer(text, start)


def _question(found, title, number, context, declared_v2, training, place):
    answers = tuple(_answer(a, context, training, place) for a in _field(found, "answers", list, place))
    impossible = declared_v2 and not answers
    if "is_impossible" in found:
        impossible = _field(found, "is_impossible", bool, place)
    if impossible == bool(answers):
        expected = "none: is_impossible is true" if impossible else "at least one"
        raise ValueError(f"{place}: found {len(answers)} answers, expected {expected}")
    return SquadQuestion(found["id"], title, number, _field(found, "question", str, place), answers, impossible)


def read_squad(path, *, training=False, leave_out=()):
    """A file of SQuAD v1.1, v2.0 or the same shape -> SquadDataset

    training: check that every answer stands at its `answer_start`; leave_out: ids of questions to leave out, before
    that check. ValueError, one line with file and id, for a file that cannot be used: damaged, a field missing or of
    another kind, an id twice, an id to leave out that is not there, nothing left.
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
            place = f"{path}: data[{a}].paragraphs[{p}]"
            context = _field(paragraph, "context", str, place)
            for q, found in enumerate(_field(paragraph, "qas", list, place)):
                name = _field(found, "id", str, f"{place}.qas[{q}]")
                if name in ids:
                    raise ValueError(f"{place}: id {shown_key(name)}: found a second time, expected every id once")
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
    """A JSON file with a list of ids -> list of str, for `leave_out`."""
    return read_json(path, [str])


def _part(dataset, first, stop):
    """The articles from number `first` to before `stop`, context numbers and article numbers counted from 0."""
    kept = [number for number, article in enumerate(dataset.articles) if first <= article < stop]
    new = {number: place for place, number in enumerate(kept)}
    return dataset._replace(
        questions=[
            q._replace(context_number=new[q.context_number]) for q in dataset.questions if q.context_number in new
        ],
        contexts=[dataset.contexts[number] for number in kept],
        articles=[dataset.articles[number] - first for number in kept],
    )


def split_by_article(dataset, first):
    """-> the first so many articles, the rest: two SquadDataset without a common text. ValueError if one is empty."""
    count = 1 + max(dataset.articles)
    parts = _part(dataset, 0, first), _part(dataset, first, count)
    if not all(part.questions for part in parts):
        raise ValueError(f"first: found {first} of {count} articles, expected questions on both sides")
    return parts


def single_question(question, passage):
    """One question about one text, as a dataset of v2.0 form for prediction: the text may not have the answer."""
    for name, text in (("question", question), ("passage", passage)):
        if not text.strip():
            raise ValueError(f"{name}: found nothing, expected words")
    return SquadDataset([SquadQuestion("question", "", 0, question, (), True)], [passage], [0], "2.0", False)
