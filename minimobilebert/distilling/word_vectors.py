"""Word vectors from the teacher's outputs: a text's mean of these is close to the teacher's vector of the text.

    h(w)    the last hidden state of w in the text [CLS] w [SEP]
    p(w)    the share of w among the pieces of the training text
    v(w) = a / (a + p(w)) h(w)                                          a = 0.001: frequent words say less

The weights are those of Arora, Liang and Ma (2017, "A Simple but Tough-to-Beat Baseline for Sentence Embeddings"). A
student whose word table starts with v (in its principal directions) and whose blocks start near the identity is a good
bag of words before the first update; what is left to learn is what words do to each other.
"""

import numpy as np

from ..inference.engine import Engine
from ..support.terminal import progress_bar

SMOOTHING = 1e-3  # a
_BATCH = 256


def output_word_vectors(params, config, tokenizer, counts):
    """The vectors v of all pieces.

    params, config: the teacher; counts [V]: how often each piece is in the text -> [V, H]
    """
    engine, size = Engine(params, config), config.vocab_size
    vectors = np.empty((size, config.hidden_size), np.float32)
    with progress_bar("word vectors", size, unit="word") as bar:
        for start in range(0, size, _BATCH):
            words = np.arange(start, min(start + _BATCH, size), dtype=np.int32)
            ids = np.empty((len(words), 3), np.int32)
            ids[:] = np.array([tokenizer.cls_id, 0, tokenizer.sep_id], np.int32)
            ids[:, 1] = words
            hidden = engine(ids, np.zeros_like(ids), np.ones(ids.shape, bool))
            vectors[start : start + len(words)] = hidden[:, 1]
            bar.update(steps=len(words))
    shares = (counts + 1.0) / max(int(counts.sum()), 1)
    return vectors * (SMOOTHING / (SMOOTHING + shares)).astype(np.float32)[:, None]
