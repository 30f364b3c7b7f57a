"""A batch of SQuAD windows, padded to its longest row. Which windows stand together: length_batches.py."""

from typing import NamedTuple

import numpy as np

from ..text.batches import assemble_pairs


class SquadBatch(NamedTuple):
    input_ids: np.ndarray  # [B, T] int32
    token_type_ids: np.ndarray  # [B, T] int32, 0 for [CLS] question [SEP] and padding, 1 for window [SEP]
    attention_mask: np.ndarray  # [B, T] bool, True = real token
    starts: np.ndarray  # [B] int32, place of the answer's first piece; None without labels
    ends: np.ndarray  # [B] int32, of its last piece; None without labels
    windows: np.ndarray  # [B] int64, which windows of the features these are


def make_batch(features, windows):
    """The windows with these numbers, [B] int64, as one SquadBatch"""
    input_ids, token_type_ids, attention_mask = assemble_pairs(
        features.pieces,
        features.question_spans[features.window_questions[windows]],
        features.window_spans[windows],
        features.tokenizer,
        int(features.lengths[windows].max()),
    )
    labels = [None if places is None else places[windows] for places in (features.starts, features.ends)]
    return SquadBatch(input_ids, token_type_ids, attention_mask, *labels, windows)
