"""From `--text` to batches: texts without labels, a row each; a batch is a pure function of (seed, step).

folders, files, tables, archives    prepared first, into the folder `text` of the run (text/prepare.py)
prepared text                       read where it is, if it was prepared with the teacher's vocabulary
"""

import pathlib
from typing import Any, NamedTuple

import numpy as np

from ..distributed.communicator import alone
from ..support.terminal import say
from ..text.corpus import shipped_archives
from ..text.masking import mask_tokens
from ..text.prepare import Preparation, check_each_rank_can_read, prepare
from ..text.random_words import replace_words
from ..text.shards import MANIFEST, TextShards, names_of
from ..training import fingerprints

_MASK_STREAM, _WORD_STREAM = 431, 432
_MOST_MASKED = 20  # words of a text, as in BERT
SHARDS = "text"  # the folder of prepared text in a run


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


class RandomWordBatches:
    """The same batches with random words: `batches(step)` -> InputBatch; each step draws new words."""

    def __init__(self, batches, tokenizer, share, seed):
        self.batches, self.tokenizer, self.share, self.seed = batches, tokenizer, share, seed

    def __call__(self, step):
        batch = self.batches(step)
        rng = np.random.default_rng([self.seed, _WORD_STREAM, step])
        return batch._replace(
            input_ids=replace_words(batch.input_ids, batch.attention_mask, self.tokenizer, self.share, rng)
        )


class TextBatches(NamedTuple):
    """The text of a distillation."""

    tokenizer: Any
    plain: Any  # ShardBatches
    unmasked: Any  # step -> batch: plain, or with random words
    batches: Any  # step -> batch: unmasked, or masked if the teacher teaches masked words
    masked: MaskedBatches  # the same texts with masked words, for the student without a teacher
    fingerprint: str
    texts: int


def _is_prepared(path):
    """True for a folder of prepared text."""
    return all((pathlib.Path(path) / name).exists() for name in (MANIFEST, names_of(0)[0]))


def _shards(text, tokenizer, out, column):
    """The prepared text that the user named, or that is made from what the user named -> TextShards"""
    text = text or shipped_archives()
    if not any(map(_is_prepared, text)):
        preparation = Preparation(unit="sentence", column=column)
        check_each_rank_can_read(text)
        with alone():  # every rank has a folder of its own
            return prepare(text, pathlib.Path(out) / SHARDS, tokenizer, preparation)
    if len(text) > 1 or column:
        found = "--column" if column else f"{len(text)} folders"
        raise ValueError(f"--text: found {found} with prepared text, expected it alone: prepare all texts together")
    shards = TextShards(text[0])
    if shards.tokenizer.digest != tokenizer.digest:
        raise ValueError(
            f"{text[0]}: found text prepared with another vocabulary, expected the teacher's: prepare --vocab TEACHER"
        )
    return shards


def read_text(text, tokenizer, settings, out, column=None):
    """text: paths, none for the shipped texts; settings: DistilSettings; out: the run's folder -> TextBatches"""
    shards = _shards(text, tokenizer, out, column)
    plain = shards.batches(settings.seed, settings.batch_size, settings.max_length)
    masked = MaskedBatches(plain, tokenizer, settings.seed)
    unmasked = plain
    if settings.random_words:
        unmasked = RandomWordBatches(plain, tokenizer, settings.random_words, settings.seed)
    batches = MaskedBatches(unmasked, tokenizer, settings.seed) if settings.has_words else unmasked
    say(f"text: {shards.rows:,} rows, {shards.pieces:,} word pieces; a row is cut to {settings.max_length}")
    return TextBatches(tokenizer, plain, unmasked, batches, masked, shards.fingerprint, shards.rows)


def fingerprint_of_teacher(saved):
    """A fingerprint of a model: its parameters and configuration, and how it makes vectors"""
    return fingerprints.of_texts([fingerprints.of_arrays(saved.params), repr(saved.config), repr(saved.sentence)])
