"""SQuAD windows as rows of batches. length_batches.py groups them by length.

In a batch with a window of 384 pieces, the row of a window of 100 pieces would be three quarters padding.
"""

import functools
from typing import NamedTuple

import numpy as np

from ..text.batches import assemble_pairs


class SquadBatch(NamedTuple):
    input_ids: np.ndarray  # [B, T] int32
    token_type_ids: np.ndarray  # [B, T] int32, 0 for [CLS] question [SEP] and padding, 1 for window [SEP]
    attention_mask: np.ndarray  # [B, T] bool, True = real token
    starts: np.ndarray | None  # [B] int32, position of the answer's first piece; None without labels
    ends: np.ndarray | None  # [B] int32, position of its last piece; None without labels
    windows: np.ndarray  # [B] int64, indices of the windows in the features


class SquadExamples:
    """features: SquadFeatures of W windows"""

    def __init__(self, features):
        self.features = features

    @functools.cached_property
    def lengths(self):
        """[W] int64, number of pieces in each window's row"""
        return self.features.lengths

    @property
    def arrays(self):
        """All arrays of the windows, for their fingerprint"""
        f = self.features
        labels = [] if f.starts is None else [f.starts, f.ends]
        return [f.pieces, f.question_spans, f.window_questions, f.window_spans, *labels]

    def batch(self, rows):
        """rows [B] int64, indices of windows -> SquadBatch, padded to its longest row"""
        features = self.features
        input_ids, token_type_ids, attention_mask = assemble_pairs(
            features.pieces,
            features.question_spans[features.window_questions[rows]],
            features.window_spans[rows],
            features.tokenizer,
            int(self.lengths[rows].max()),
        )
        labels = [None if positions is None else positions[rows] for positions in (features.starts, features.ends)]
        return SquadBatch(input_ids, token_type_ids, attention_mask, *labels, rows)
