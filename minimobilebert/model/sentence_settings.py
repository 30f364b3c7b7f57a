"""How a model makes one vector of a text: what a sentence encoder was trained with, and what `embed` follows.

They travel with the model: `convert` reads them from a sentence-transformers folder, the checkpoint stores them, and
they are written back on export. A model without them is pooled by the mean and normalised.
"""

import dataclasses

from ..ops.pooling import POOLINGS
from ..support.shapes import Integer, OneOf, check

# Below three pieces there would be no room for a piece of the text beside [CLS] and [SEP].
SHAPE = {
    "pooling": OneOf(*POOLINGS),
    "normalize": bool,
    "max_length": (None, Integer(3)),
    "prompt": str,
}


@dataclasses.dataclass(frozen=True)
class SentenceSettings:
    pooling: str = "mean"  # a name of ops/pooling.py
    normalize: bool = True  # vectors of length 1
    max_length: int | None = None  # of a text in pieces, including [CLS] and [SEP]; None: the model's positions
    prompt: str = ""  # before every text

    def longest(self, config):
        """The largest number of pieces of a text, for a model of this ModelConfig."""
        positions = config.max_position_embeddings
        return min(self.max_length or positions, positions)


def sentence_settings_from(values, where):
    """A dict -> SentenceSettings; None -> None. ValueError with the field; where: for the message"""
    return None if values is None else SentenceSettings(**check(values, SHAPE, where))
