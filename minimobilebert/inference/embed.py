"""`embed`: one vector for a text.

    mean    the average of the last hidden state over the text's tokens, [CLS] and [SEP] included
    cls     the pooled vector

Vectors are scaled to length 1, so that their dot product is the cosine of their angle.
"""

import numpy as np

from ..model.heads import pooler_forward
from ..support.terminal import progress_bar
from ..text.encoding import pad_batch

POOLINGS = ("mean", "cls")
_ROWS = 4096  # scaled at a time: their copies in double precision stay small


def _batches_of_equal_length(encodings, batch_size):
    """Indices of texts that share a batch. Nothing is padded: a trigram model would see the padding."""
    by_length = {}
    for i, encoding in enumerate(encodings):
        by_length.setdefault(len(encoding.ids), []).append(i)
    for same in by_length.values():
        yield from (same[start : start + batch_size] for start in range(0, len(same), batch_size))


def embed(model, texts, *, pooling="mean", batch_size=32):
    """texts: list of N str -> [N, H] float, rows of length 1. A text's vector does not depend on the others."""
    if pooling not in POOLINGS:
        raise ValueError(f"pooling: found {pooling!r}, expected one of {', '.join(POOLINGS)}")
    encodings = model.encodings(texts)
    vectors = np.empty((len(texts), model.config.hidden_size), model.params[next(iter(model.params))].dtype)
    with progress_bar("embed", sum(len(encoding.ids) for encoding in encodings), unit="piece") as bar:
        for indices in _batches_of_equal_length(encodings, batch_size):
            inputs = pad_batch([encodings[i] for i in indices], model.tokenizer.pad_id)
            hidden = model.engine(*inputs)
            vectors[indices] = (
                hidden.mean(axis=1) if pooling == "mean" else pooler_forward(model.params, model.config, hidden)[0]
            )
            bar.update(steps=inputs[0].size)
    # In double precision: activations of a NoNorm model are large enough for their squares to overflow.
    for start in range(0, len(vectors), _ROWS):
        rows = vectors[start : start + _ROWS]
        rows /= np.maximum(np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True), 1e-30)
    return vectors


def _shown(text, longest=100):
    """A text as one line of a list."""
    text = " ".join(text[: 4 * longest].split())
    return text if len(text) <= longest else text[: longest - 4] + " ..."


def format_similarities(texts, vectors):
    """Lines for people: the cosine between every two of a few texts."""
    cosines = vectors @ vectors.T
    lines = [f"{i + 1:3}  {_shown(text)}" for i, text in enumerate(texts)]
    lines += ["", "     " + "".join(f"{i + 1:8}" for i in range(len(texts)))]
    lines += [f"{i + 1:3}  " + "".join(f"{value:8.3f}" for value in row) for i, row in enumerate(cosines)]
    return "\n".join(lines)


def lines_of_nearest(texts, places, cosines):
    """Lines for people, one at a time: every text, and below it those that are nearest to it."""
    width = len(str(len(texts)))
    for i, text in enumerate(texts):
        yield f"{i + 1:{width}}  {_shown(text)}"
        for place, cosine in zip(places[i], cosines[i], strict=True):
            yield f"{'':{width}}  {cosine:7.3f}  {place + 1:{width}}  {_shown(texts[place], 80)}"
