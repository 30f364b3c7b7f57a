"""SQuAD's windows as rows of batches, which length_batches.py groups by length.

A window of 100 pieces beside one of 384 would be three quarters padding.
"""

import functools
from typing import NamedTuple

import numpy as np

from ..text.batches import assemble_pairs


class SquadBatch(NamedTuple):
    input_ids: np.ndarray  # [B, T] int32
    token_type_ids: np.ndarray  # [B, T] int32, 0 for [CLS] question [SEP] and padding, 1 for window [SEP]
    attention_mask: np.ndarray  # [B, T] bool, True = real token
    starts: np.ndarray | None  # [B] int32, place of the answer's first piece; None without labels
    ends: np.ndarray | None  # [B] int32, of its last piece; None without labels
    windows: np.ndarray  # [B] int64, which windows of the features these are


class SquadExamples:
    """features: SquadFeatures of W windows"""

    def __init__(self, features):
        self.features = features

    @functools.cached_property
    def lengths(self):
        """[W] int64, pieces of each window's row"""
        return self.features.lengths

    @property
    def arrays(self):
        """What the windows are made of: two sets are the same where these are"""
        f = self.features
        labels = [] if f.starts is None else [f.starts, f.ends]
        return [f.pieces, f.question_spans, f.window_questions, f.window_spans, *labels]

    def batch(self, rows):
        """rows [B] int64: the numbers of the windows -> SquadBatch, padded to its longest row"""
        features = self.features
        input_ids, token_type_ids, attention_mask = assemble_pairs(
            features.pieces,
            features.question_spans[features.window_questions[rows]],
            features.window_spans[rows],
            features.tokenizer,
            int(self.lengths[rows].max()),
        )
        labels = [None if places is None else places[rows] for places in (features.starts, features.ends)]
        return SquadBatch(input_ids, token_type_ids, attention_mask, *labels, rows)
