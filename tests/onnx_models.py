"""Random models, batches and graphs that the tests of the ONNX export share."""

import numpy as np
from fine_tuning_data import WORDS
from tiny_models import random_parameters

from minimobilebert.config import ModelConfig
from minimobilebert.text.wordpiece import SPECIAL_TOKENS, WordPieceTokenizer
from minimobilebert.training.model_folder import save_model

NEEDS_ONNX = "needs the extra interop: make setup EXTRAS=interop"
NEEDS_RUNTIME = "needs the extra compare: make setup EXTRAS=compare,interop"
HEADS = (None, "pretraining", "masked-words", "classification", "question-answering")
TOKENIZER = WordPieceTokenizer([*SPECIAL_TOKENS, *WORDS, "##s", "a", "##b"])


def random_config(rng):
    """A ModelConfig of either family: all switches by chance, all widths different where they may be"""
    heads = int(rng.integers(1, 4))
    bottleneck, trigram = rng.random() < 0.6, rng.random() < 0.5
    hidden = heads * int(rng.integers(4, 9))
    return ModelConfig(
        vocab_size=TOKENIZER.vocab_size,
        hidden_size=hidden,
        embedding_size=hidden if rng.random() < 0.4 else int(rng.integers(1, hidden)),
        intra_bottleneck_size=heads * int(rng.integers(2, 6)),
        intermediate_size=int(rng.integers(3, 30)),
        num_hidden_layers=int(rng.integers(1, 4)),
        num_attention_heads=heads,
        num_feedforward_networks=int(rng.integers(1, 4)),
        use_bottleneck=bool(bottleneck),
        bottleneck_attention=bool(bottleneck and rng.random() < 0.4),
        key_query_shared_bottleneck=bool(bottleneck and rng.random() < 0.5),
        trigram_input=bool(trigram),
        normalization_type=str(rng.choice(["no_norm", "layer_norm"])),
        hidden_act=str(rng.choice(["relu", "gelu", "gelu_tanh"])),
        classifier_activation=bool(rng.random() < 0.5),
        tie_word_embeddings=bool(rng.random() < 0.7),
        max_position_embeddings=int(rng.integers(3, 20)),
        type_vocab_size=int(rng.integers(1, 4)),
        initializer_range=0.3,
        layer_norm_eps=float(rng.choice([1e-12, 1e-5])),
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )


def parameters_of(config, head, seed=0):
    """Random float32 parameters; a classification has 1 to 3 outputs: 1 is a regression"""
    return random_parameters(config, np.random.default_rng(seed), head, 1 + seed % 3, np.float32)


def write_model(folder, config, head=None, sentence=None, labels=None, seed=0):
    """A model folder with random weights -> its path, a str"""
    save_model(folder, parameters_of(config, head, seed), config, TOKENIZER, labels, sentence)
    return str(folder)


def batches(config, rng):
    """Yields ids, token types, mask: one token, the longest text, and padded texts of several lengths"""
    longest = config.max_position_embeddings
    for lengths in ([1], [longest], [longest, 1, int(rng.integers(1, longest + 1))]):
        mask = np.arange(max(lengths)) < np.array(lengths)[:, None]
        ids = np.where(mask, rng.integers(0, config.vocab_size, mask.shape), 0)
        yield ids, np.where(mask, rng.integers(0, config.type_vocab_size, mask.shape), 0), mask
