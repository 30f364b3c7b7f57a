"""`embed`: one vector per text.

    mean      the mean of the last hidden state over the tokens, including [CLS] and [SEP]
    cls       the last hidden state of [CLS]
    max       of each feature the maximum over the tokens
    pooler    the pooled vector of a classifier: [CLS] behind BERT's dense layer and tanh, where the model has them

A model that came from a sentence-transformers folder knows which of them it was trained with, whether its vectors have
length 1, and how long a text may be; `model.sentence` holds that, and we follow it. For any other model the vectors are
means of length 1, so that their dot product is the cosine similarity.
"""

import dataclasses

import numpy as np

from ..model.heads import pooler_forward
from ..model.sentence_settings import SentenceSettings
from ..ops.pooling import POOLINGS as TOKEN_POOLINGS
from ..ops.pooling import normalize_forward, pool_forward
from ..support.terminal import progress_bar, say
from ..text.encoding import encode_pair, pad_batch
from .logits import finite

POOLINGS = (*TOKEN_POOLINGS, "pooler")


def _batches_of_equal_length(encodings, batch_size):
    """Yields the text indices of each batch. Its texts have equal lengths, because a trigram model reads padding."""
    by_length = {}
    for i, encoding in enumerate(encodings):
        by_length.setdefault(len(encoding.ids), []).append(i)
    for same in by_length.values():
        yield from (same[start : start + batch_size] for start in range(0, len(same), batch_size))


class Embedder:
    """Texts to vectors, in as many calls as you like: `Embedder(model)(["A ship at sea."])` -> [1, H]

    pooling, normalize: instead of the model's own. `cut` and `count` are the texts so far; `say_cut` reports them.
    """

    def __init__(self, model, pooling=None, normalize=None, batch_size=32):
        settings = model.sentence or SentenceSettings()
        if pooling not in (None, *POOLINGS):
            raise ValueError(f"pooling: found {pooling!r}, expected one of {', '.join(POOLINGS)}")
        if normalize is not None:
            settings = dataclasses.replace(settings, normalize=normalize)
        self.model, self.batch_size = model, batch_size
        self.pooling, self.normalize = pooling or settings.pooling, settings.normalize
        self.longest, self.prompt = settings.longest(model.config), settings.prompt
        self.cut = self.count = 0

    def encode(self, texts):
        """Texts -> list of Encoding, cut where they are too long"""
        if isinstance(texts, str):  # a str is a sequence too: each letter would be a text
            raise ValueError(f"texts: found one text, expected a list of texts: [{texts[:40]!r}]")
        found = [encode_pair(self.model.tokenizer, self.prompt + text, max_length=self.longest) for text in texts]
        self.count += len(found)
        self.cut += sum(any(encoding.cut) for encoding in found)
        return found

    def _pooled(self, hidden, mask):
        if self.pooling == "pooler":
            return pooler_forward(self.model.params, self.model.config, hidden)[0]
        return pool_forward(hidden, mask, self.pooling)[0]

    def vectors(self, encodings, advance=lambda pieces: None):
        """list of N Encoding -> [N, H]; advance: called with the number of pieces of each batch"""
        dtype = self.model.params[f"{self.model.config.prefix}.embeddings.LayerNorm.weight"].dtype
        vectors = np.empty((len(encodings), self.model.config.hidden_size), dtype)
        for indices in _batches_of_equal_length(encodings, self.batch_size):
            inputs = pad_batch([encodings[i] for i in indices], self.model.tokenizer.pad_id)
            pooled = finite(self._pooled(self.model.engine(*inputs), inputs[2]), "vectors")
            vectors[indices] = normalize_forward(pooled)[0] if self.normalize else pooled
            advance(inputs[0].size)
        return vectors

    def __call__(self, texts):
        """list of N str -> [N, H]"""
        return self.vectors(self.encode(texts))

    def say_cut(self):
        """One line on stderr if texts were cut."""
        if self.cut:
            positions = self.model.config.max_position_embeddings
            reason = "the model's positions" if self.longest == positions else "the length it was trained for"
            say(f"note: {self.cut} of {self.count} inputs cut to {self.longest} word pieces ({reason})")


def embed(model, texts, *, pooling=None, normalize=None, batch_size=32):
    """texts: list of N str -> [N, H] float. The vector of a text does not depend on the others.

    pooling: one of POOLINGS; normalize: whether the rows get length 1; None: as the model was trained
    """
    embedder = Embedder(model, pooling, normalize, batch_size)
    encodings = embedder.encode(texts)
    embedder.say_cut()
    with progress_bar("embed", sum(len(encoding.ids) for encoding in encodings), unit="piece") as bar:
        return embedder.vectors(encodings, lambda pieces: bar.update(steps=pieces))


def unit_vectors(vectors):
    """[N, H] -> [N, H] of length 1, whose dot products are cosines"""
    return normalize_forward(np.asarray(vectors))[0]


def shown(text, longest=100):
    """A text, shortened to one line."""
    text = " ".join(text[: 4 * longest].split())
    return text if len(text) <= longest else text[: longest - 4] + " ..."


def format_similarities(texts, vectors):
    """The matrix of cosine similarities of a few texts, as text."""
    cosines = vectors @ vectors.T
    lines = [f"{i + 1:3}  {shown(text)}" for i, text in enumerate(texts)]
    lines += ["", "     " + "".join(f"{i + 1:8}" for i in range(len(texts)))]
    lines += [f"{i + 1:3}  " + "".join(f"{value:8.3f}" for value in row) for i, row in enumerate(cosines)]
    return "\n".join(lines)


def lines_of_nearest(texts, indices, cosines):
    """Yields lines: each text, followed by its nearest neighbours."""
    width = len(str(len(texts)))
    for i, text in enumerate(texts):
        yield f"{i + 1:{width}}  {shown(text)}"
        for index, cosine in zip(indices[i], cosines[i], strict=True):
            yield f"{'':{width}}  {cosine:7.3f}  {index + 1:{width}}  {shown(texts[index], 80)}"
