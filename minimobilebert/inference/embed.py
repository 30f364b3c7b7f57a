"""`embed`: one vector per text.

    mean    the mean of the last hidden state over the tokens, including [CLS] and [SEP]
    cls     the pooled vector

We normalise the vectors to length 1, so that their dot product is the cosine similarity.
"""

import numpy as np

from ..model.heads import pooler_forward
from ..support.terminal import progress_bar
from ..text.encoding import pad_batch

POOLINGS = ("mean", "cls")
_ROWS = 4096  # normalised at a time, to limit the memory of the float64 copies


def _batches_of_equal_length(encodings, batch_size):
    """Yields the text indices of each batch. Its texts have equal lengths, because a trigram model reads padding."""
    by_length = {}
    for i, encoding in enumerate(encodings):
        by_length.setdefault(len(encoding.ids), []).append(i)
    for same in by_length.values():
        yield from (same[start : start + batch_size] for start in range(0, len(same), batch_size))


def embed(model, texts, *, pooling="mean", batch_size=32):
    """texts: list of N str -> [N, H] float, rows of length 1. The vector of a text does not depend on the others."""
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
    # In float64: activations of a NoNorm model are so large that their squares overflow float32.
    for start in range(0, len(vectors), _ROWS):
        rows = vectors[start : start + _ROWS]
        rows /= np.maximum(np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True), 1e-30)
    return vectors


def _shown(text, longest=100):
    """A text, shortened to one line."""
    text = " ".join(text[: 4 * longest].split())
    return text if len(text) <= longest else text[: longest - 4] + " ..."


def format_similarities(texts, vectors):
    """The matrix of cosine similarities of a few texts, as text."""
    cosines = vectors @ vectors.T
    lines = [f"{i + 1:3}  {_shown(text)}" for i, text in enumerate(texts)]
    lines += ["", "     " + "".join(f"{i + 1:8}" for i in range(len(texts)))]
    lines += [f"{i + 1:3}  " + "".join(f"{value:8.3f}" for value in row) for i, row in enumerate(cosines)]
    return "\n".join(lines)


def lines_of_nearest(texts, indices, cosines):
    """Yields lines: each text, followed by its nearest neighbours."""
    width = len(str(len(texts)))
    for i, text in enumerate(texts):
        yield f"{i + 1:{width}}  {_shown(text)}"
        for index, cosine in zip(indices[i], cosines[i], strict=True):
            yield f"{'':{width}}  {cosine:7.3f}  {index + 1:{width}}  {_shown(texts[index], 80)}"
