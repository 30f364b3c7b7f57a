"""From `--text` to batches: one text a row, without labels; a batch is a pure function of (seed, step)."""

from typing import Any, NamedTuple

import numpy as np

from ..pipeline.text_data import documents_of
from ..support.terminal import say
from ..tasks.classification_batches import encode_texts
from ..tasks.length_batches import TrainingBatches
from ..text.masking import mask_tokens
from ..training import fingerprints

_MASK_STREAM = 431
_MOST_MASKED = 20  # words of a text, as in BERT


class MaskedBatch(NamedTuple):
    input_ids: np.ndarray  # [B, T] int32, with masked words
    token_type_ids: np.ndarray  # [B, T] int32
    attention_mask: np.ndarray  # [B, T] bool
    masked_positions: np.ndarray  # [M] int64, b * T + t, ascending
    masked_labels: np.ndarray  # [M] int32, the original pieces


class MaskedBatches:
    """The same batches with masked words: `batches(step)` -> MaskedBatch; each step draws new masks."""

    def __init__(self, batches, tokenizer, seed):
        self.batches, self.tokenizer, self.seed = batches, tokenizer, seed

    def __call__(self, step):
        ids, types, mask, *_ = self.batches(step)
        rng = np.random.default_rng([self.seed, _MASK_STREAM, step])
        ids, positions, labels = mask_tokens(ids, mask, self.tokenizer, _MOST_MASKED, rng)
        return MaskedBatch(ids, types, mask, positions, labels)


class TextBatches(NamedTuple):
    """The text of a distillation."""

    tokenizer: Any
    batches: Any  # step -> batch of the main stage
    masked: MaskedBatches  # the same texts with masked words, for the student without a teacher
    fingerprint: str
    texts: int


def _sentences(text):
    """-> sentences in order, each once; fingerprint"""
    documents, fingerprint = documents_of(text)
    return list(dict.fromkeys(each for document in documents for each in document.sentences())), fingerprint


def read_text(text, tokenizer, settings):
    """text: folders, or None for the shipped texts; settings: DistilSettings -> TextBatches"""
    sentences, fingerprint = _sentences(text)
    encoded = encode_texts(tokenizer, sentences, None, None, settings.max_length)
    plain = TrainingBatches(encoded, settings.batch_size, settings.seed)
    masked = MaskedBatches(plain, tokenizer, settings.seed)
    cut = f"; {encoded.cut:,} cut to {settings.max_length}" if encoded.cut else ""
    say(f"text: {len(sentences):,} sentences, {len(encoded.ids):,} word pieces{cut}")
    return TextBatches(tokenizer, masked if settings.has_words else plain, masked, fingerprint, len(sentences))


def fingerprint_of_teacher(saved):
    """A fingerprint of a model's parameters and configuration"""
    return fingerprints.of_texts([fingerprints.of_arrays(saved.params), repr(saved.config)])
