"""`answer`: find the best answers to a question in a passage.

    score = start score of the answer's first token + end score of its last token

A passage that is longer than the model's input is split into overlapping windows (tasks/squad_windows.py). An answer
counts in the window with the maximum context of its first piece.
"""

import numpy as np

from ..support.terminal import progress_bar, say
from ..tasks.squad_batches import SquadExamples
from ..tasks.squad_data import single_question
from ..tasks.squad_features import make_features
from ..tasks.squad_search import best_answers_of_all
from ..text.length_batches import sorted_batches
from .logits import span_logits

_BATCH = 32
_MOST_WINDOWS = 1 << 16  # about 200 MB of scores; SQuAD's dev files have fewer windows
_AROUND = 300  # characters of a long passage on each side of the answer
_BOLD, _PLAIN = "\x1b[1;32m", "\x1b[0m"


def span_scores_of(logits, features, batch_size=_BATCH, most=_MOST_WINDOWS):
    """The scores of all windows in order, computed in batches by length -> generator of (starts, ends), arrays [tokens]

    most: the maximum number of windows with scores in memory
    """
    examples = SquadExamples(features)
    lengths = examples.lengths
    with progress_bar("read", len(lengths), unit="window") as bar:
        for start in range(0, len(lengths), most):
            window_lengths = lengths[start : start + most]
            scores = [None] * len(window_lengths)
            for rows in sorted_batches(window_lengths, batch_size):
                for row, found in zip(rows, logits(examples.batch(start + rows)), strict=True):
                    scores[row] = np.ascontiguousarray(found[: window_lengths[row]].T)
                bar.update(steps=len(rows))
            yield from scores


def answer(model, question, passage, top=5, may_be_none=False):
    """The `top` best answers -> list of {"text", "start", "stop", "score", "probability"}, best first

    start, stop: character offsets in the passage; may_be_none: include "no answer", with the text "", as a candidate
    (for a model that was trained on unanswerable questions). The softmax of the probabilities is over the 20 best, or
    over `top` if that is more. ValueError for empty texts; NoSuchHead if the model was not fine-tuned for questions.
    """
    model.require_parameter("qa_outputs.weight", "questions (fine-tune it: finetune --task squad1)")
    if top < 1:
        raise ValueError(f"top: found {top}, expected at least 1")
    length = min(384, model.config.max_position_embeddings)
    features = make_features(
        single_question(question, passage), model.tokenizer, length,
        stride=max(1, length // 3), max_query=min(64, max(1, length // 2 - 4)),
    )  # fmt: skip
    if features.counts.questions_cut:
        say("note: the question is too long and was cut to its beginning")
    rows = span_scores_of(span_logits(model.params, model.config), features)
    (found,) = best_answers_of_all(features, rows, n_best=max(top, 20), null=may_be_none)
    return [
        {"text": c.text, "start": c.start, "stop": c.stop, "score": c.score, "probability": c.probability}
        for c in found[:top]
    ]


def format_answers(passage, answers, colour):
    """The passage with the best answer marked, then all answers with their scores. colour: use terminal colours"""
    best, lines = answers[0], []
    if best["text"]:
        before, after = passage[: best["start"]], passage[best["stop"] :]
        before = before if len(before) <= _AROUND else "... " + before[-_AROUND:].partition(" ")[2]
        after = after if len(after) <= _AROUND else after[:_AROUND].rpartition(" ")[0] + " ..."
        marks = (_BOLD, _PLAIN) if colour else ("[[", "]]")
        lines.append(" ".join(f"{before}{marks[0]}{best['text']}{marks[1]}{after}".split()))
    else:
        lines.append("no answer in this passage")
    lines += ["", " score  probability  answer"]
    for row in answers:
        text = " ".join(row["text"].split()) or "(no answer)"
        lines.append(f"{row['score']:6.2f}  {row['probability']:11.4f}  {text}")
    return "\n".join(lines)
