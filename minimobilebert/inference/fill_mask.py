"""`fill-mask`: predict the pieces at [MASK].

    p = softmax(masked-word scores at the masked position)

If a text has several masks, each is predicted independently, with the others still masked.
"""

import numpy as np

from ..model.heads import masked_word_forward
from ..ops.softmax import softmax_forward
from .logits import finite

MASK = "[MASK]"


def masked_ids(model, text):
    """[CLS] text [SEP] -> list of ids. ValueError if the text has no [MASK] or is too long."""
    tokenizer = model.tokenizer
    if MASK not in text:
        raise ValueError(f"text: found no {MASK} in {text!r}, expected at least one")
    ids = [tokenizer.cls_id]
    for i, part in enumerate(text.split(MASK)):
        ids += ([tokenizer.mask_id] if i else []) + tokenizer.encode(part)
    ids.append(tokenizer.sep_id)
    longest = model.config.max_position_embeddings
    if len(ids) > longest:
        raise ValueError(f"text: found {len(ids)} word pieces, expected at most {longest} (the model's positions)")
    return ids


def fill_mask(model, text, top=5):
    """The `top` most probable pieces for each [MASK] of `text`

    -> a list (one entry per mask) of lists of {"piece", "probability"}. NoSuchHead if the model has no such head.
    """
    model.require_parameter("cls.predictions.bias", "masked words")
    if top < 1:
        raise ValueError(f"top: found {top}, expected at least 1")
    ids = np.array([masked_ids(model, text)], np.int32)
    hidden = model.engine(ids, np.zeros_like(ids), np.ones(ids.shape, bool))
    masks = np.flatnonzero(ids[0] == model.tokenizer.mask_id)
    logits, _ = masked_word_forward(model.params, model.config, hidden[0][masks])
    probabilities, _ = softmax_forward(finite(logits, "logits"))
    answers = []
    for row in probabilities:
        best = np.argsort(-row, kind="stable")[:top]
        answers.append([{"piece": model.tokenizer.vocab[i], "probability": float(row[i])} for i in best])
    return answers


def format_answers(text, answers):
    """The candidates of each mask, as text."""
    lines = []
    for number, candidates in enumerate(answers, start=1):
        if len(answers) > 1:
            lines.append(f"{MASK} {number} of {len(answers)}")
        lines += [f"{c['probability']:7.4f}  {c['piece']}" for c in candidates]
    return "\n".join([text, *lines])
