"""SQuAD's windows as rows that length_batches.py can group: `lengths`, `batch(rows)`, and what they are made of."""

import functools

from .squad_batches import make_batch


class SquadExamples:
    """features: SquadFeatures"""

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
        """The windows with these numbers as one SquadBatch."""
        return make_batch(self.features, rows)
