"""`Model`: a trained model with its tokeniser, from a run of this project or from a converted checkpoint.

    from minimobilebert import Model
    model = Model.load("runs/tiny")
    encoded = model.encode(["The people of the States."], attention_maps=True)

The functions `fill_mask`, `embed`, `next_sentence` and `answer` in this folder take a Model as their first argument.
"""

import dataclasses
import functools
import os
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..config import ModelConfig
from ..model.encoder import encoder_forward
from ..model.heads import pooler_forward
from ..model.quantization import as_arrays
from ..model.sentence_settings import SentenceSettings
from ..support.files import name_of
from ..support.terminal import say
from ..text.encoding import Encoding, encode_pair, pad_batch
from ..text.wordpiece import WordPieceTokenizer
from ..training.model_folder import load_model
from .engine import Engine


class Encoded(NamedTuple):
    """The encoder's output for B texts, padded to T tokens."""

    tokens: list[list[str]]  # the word pieces of B texts, including [CLS] and [SEP]
    attention_mask: np.ndarray  # [B, T] bool, False at padding
    last_hidden: np.ndarray  # [B, T, H]
    pooled: np.ndarray  # [B, H]
    hidden_states: list[np.ndarray] | None  # L + 1 arrays [B, T, H]; entry 0 is the embedding output
    attention_maps: list[np.ndarray] | None  # L arrays [B, A, T, T]; rows are queries, columns are keys


class NoSuchHead(ValueError):
    """The model has no head for the requested prediction. The message names the head that it has."""


@dataclasses.dataclass(frozen=True, eq=False)
class Model:
    params: dict[str, np.ndarray]  # Hugging Face's names
    config: ModelConfig
    head: str | None  # "pretraining", "masked-words", "classification", "question-answering", or None
    num_labels: int | None
    tokenizer: WordPieceTokenizer
    labels: list[str] | None
    sentence: SentenceSettings | None = None  # how `embed` makes vectors; None: mean of the tokens, length 1
    name: str = "model"  # the folder, for messages

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> "Model":
        """Load a run of train-tiny (its distilled student), one of its stages, or a converted checkpoint.

        ValueError with the file's name if a file is missing or damaged.
        """
        saved = load_model(folder, in_8_bits=True)
        # Read-only, because the engine has packed copies and would not see a change.
        for array in as_arrays(saved.params).values():
            array.flags.writeable = False
        return cls(**saved._asdict(), name=name_of(folder))

    @functools.cached_property
    def engine(self) -> Engine:
        """The inference engine; its first call packs the weights."""
        return Engine(self.params, self.config)

    def require_parameter(self, name: str, purpose: str) -> None:
        """NoSuchHead if the model lacks the parameter `name`; purpose: for the message"""
        if name not in self.params:
            found = f"a {self.head} head" if self.head else "no head"
            raise NoSuchHead(f"{self.name}: found {found}, expected one for {purpose} (give another --model)")

    def encodings(self, texts: Sequence[str], seconds: Sequence[str | None] | None = None) -> list[Encoding]:
        """Encode texts, or pairs if `seconds` is given -> list of Encoding

        Inputs that are longer than the position table are truncated and reported on stderr.
        """
        for name, value in (("texts", texts), ("seconds", seconds)):
            if isinstance(value, str):  # a str is a sequence too: each letter would be a text
                raise ValueError(f"{name}: found one text, expected a list of texts: [{value[:40]!r}]")
        seconds = [None] * len(texts) if seconds is None else seconds
        longest = self.config.max_position_embeddings
        found = [encode_pair(self.tokenizer, a, b, max_length=longest) for a, b in zip(texts, seconds, strict=True)]
        if long := sum(any(encoding.cut) for encoding in found):
            say(f"note: {long} of {len(found)} inputs cut to {longest} word pieces (the model's positions)")
        return found

    def encode(
        self,
        texts: Sequence[str],
        seconds: Sequence[str | None] | None = None,
        *,
        hidden_states: bool = False,
        attention_maps: bool = False,
    ) -> Encoded:
        """Run the encoder on texts (or pairs), padded to the longest -> Encoded

        texts, seconds: lists of str; hidden_states, attention_maps: return those of all layers
        A model with trigram embeddings, such as the released MobileBERT, reads the padding after the last token. Its
        output for a text therefore depends slightly on the other texts of the batch. `embed` avoids this.
        """
        encodings = self.encodings(texts, seconds)
        input_ids, token_type_ids, attention_mask = pad_batch(encodings, self.tokenizer.pad_id)
        tokens = [[self.tokenizer.vocab[i] for i in encoding.ids] for encoding in encodings]
        states = maps = None
        if hidden_states or attention_maps:  # the engine returns neither
            output, _ = encoder_forward(self.params, self.config, input_ids, token_type_ids, attention_mask)
            hidden = output.hidden_states[-1]
            states = output.hidden_states if hidden_states else None
            maps = output.attention_maps if attention_maps else None
        else:
            hidden = self.engine(input_ids, token_type_ids, attention_mask)
        pooled, _ = pooler_forward(self.params, self.config, hidden)
        return Encoded(tokens, attention_mask, hidden, pooled, states, maps)
