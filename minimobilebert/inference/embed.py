"""`embed`: one vector for a text.

    mean    the average of the last hidden state over the text's tokens, [CLS] and [SEP] included
    cls     the pooled vector

Vectors are scaled to length 1, so that their dot product is the cosine of their angle.
"""

import numpy as np

from ..model.heads import pooler_forward
from ..terminal import progress_bar
from ..text.encoding import pad_batch

POOLINGS = ("mean", "cls")


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
    batches = list(_batches_of_equal_length(encodings, batch_size))
    vectors = np.empty((len(texts), model.config.hidden_size), model.params[next(iter(model.params))].dtype)
    with progress_bar("embed", len(batches)) as bar:
        for indices in batches:
            inputs = pad_batch([encodings[i] for i in indices], model.tokenizer.pad_id)
            hidden = model.engine(*inputs)
            vectors[indices] = (
                hidden.mean(axis=1) if pooling == "mean" else pooler_forward(model.params, model.config, hidden)[0]
            )
            bar.update()
    # In double precision: activations of a NoNorm model are large enough for their squares to overflow.
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    return (vectors / np.maximum(lengths, 1e-30)).astype(vectors.dtype)


def _shown(text, longest=100):
    """A text as one line of a list."""
    text = " ".join(text.split())
    return text if len(text) <= longest else text[: longest - 4] + " ..."


def format_similarities(texts, vectors):
    """Lines for people: the cosine between every two texts."""
    cosines = vectors @ vectors.T
    lines = [f"{i + 1:3}  {_shown(text)}" for i, text in enumerate(texts)]
    lines += ["", "     " + "".join(f"{i + 1:8}" for i in range(len(texts)))]
    lines += [f"{i + 1:3}  " + "".join(f"{value:8.3f}" for value in row) for i, row in enumerate(cosines)]
    return "\n".join(lines)
