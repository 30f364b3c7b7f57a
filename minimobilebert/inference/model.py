"""`Model`: a trained model with its tokeniser, for our own runs and for converted checkpoints.

    from minimobilebert import Model
    model = Model.load("runs/tiny")
    encoded = model.encode(["The people of the States."], attention_maps=True)

`fill_mask`, `embed` and `next_sentence` beside this file take such a model as their first argument.
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
from ..support.terminal import say
from ..text.encoding import Encoding, encode_pair, pad_batch
from ..text.wordpiece import WordPieceTokenizer
from ..training.model_folder import load_model
from .engine import Engine


class Encoded(NamedTuple):
    """What the encoder makes of B texts, padded to T tokens."""

    tokens: list[list[str]]  # of B texts: their word pieces, [CLS] and [SEP] included
    attention_mask: np.ndarray  # [B, T] bool, False at padding
    last_hidden: np.ndarray  # [B, T, H]
    pooled: np.ndarray  # [B, H]
    hidden_states: list[np.ndarray] | None  # L + 1 arrays [B, T, H]; entry 0 is the embedding output
    attention_maps: list[np.ndarray] | None  # L arrays [B, A, T, T]; rows ask, columns answer


class NoSuchHead(ValueError):
    """The model was not trained for what it is asked. One line says what it has."""


@dataclasses.dataclass(frozen=True, eq=False)
class Model:
    params: dict[str, np.ndarray]  # Hugging Face's names
    config: ModelConfig
    head: str | None  # "pretraining", "masked-words", "classification", "question-answering", or None
    num_labels: int | None
    tokenizer: WordPieceTokenizer
    labels: list[str] | None

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> "Model":
        """A run of train-tiny (its distilled student), one stage of it, or a converted checkpoint.

        ValueError, naming the file, where something is missing or damaged.
        """
        params, *others = load_model(folder)
        for array in params.values():  # the engine has packed copies: a change of these would change half of the model
            array.flags.writeable = False
        return cls(params, *others)

    @functools.cached_property
    def engine(self) -> Engine:
        """What runs the encoder; the weights are packed for it at its first call."""
        return Engine(self.params, self.config)

    def require_parameter(self, name: str, purpose: str) -> None:
        """NoSuchHead unless the model has the parameter `name`, which `purpose` needs."""
        if name not in self.params:
            found = f"a {self.head} head" if self.head else "no head"
            raise NoSuchHead(f"model: found {found}, expected one for {purpose} (give another --model)")

    def encodings(self, texts: Sequence[str], seconds: Sequence[str | None] | None = None) -> list[Encoding]:
        """Ids of every text (with its second text, where `seconds` is given) -> list of Encoding

        Texts beyond the model's positions are cut, and a line on stderr says so.
        """
        for name, value in (("texts", texts), ("seconds", seconds)):
            if isinstance(value, str):  # else every letter of it would be a text
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

        texts, seconds: lists of str; hidden_states, attention_maps: keep those of every layer.
        A model with trigram embeddings sees the padding behind the last token, as the released MobileBERT does: its
        output for a text depends a little on the texts beside it. `embed` avoids that.
        """
        encodings = self.encodings(texts, seconds)
        input_ids, token_type_ids, attention_mask = pad_batch(encodings, self.tokenizer.pad_id)
        tokens = [[self.tokenizer.vocab[i] for i in encoding.ids] for encoding in encodings]
        states = maps = None
        if hidden_states or attention_maps:  # the engine keeps neither
            output, _ = encoder_forward(self.params, self.config, input_ids, token_type_ids, attention_mask)
            hidden = output.hidden_states[-1]
            states = output.hidden_states if hidden_states else None
            maps = output.attention_maps if attention_maps else None
        else:
            hidden = self.engine(input_ids, token_type_ids, attention_mask)
        pooled, _ = pooler_forward(self.params, self.config, hidden)
        return Encoded(tokens, attention_mask, hidden, pooled, states, maps)
