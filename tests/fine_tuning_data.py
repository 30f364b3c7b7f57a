"""Small models and made-up task files for the tests of fine-tuning."""

import json

import numpy as np

from minimobilebert.config import ModelConfig
from minimobilebert.model.parameters import init_parameters, parameter_shapes
from minimobilebert.text.wordpiece import SPECIAL_TOKENS, WordPieceTokenizer
from minimobilebert.training.model_folder import save_model

NAMES = "ada ben cleo dora egon fritz gina hugo ida jan kira leo mona nils olga pia".split()
THINGS = "tea milk bread soup rice fish cake salt wine oil corn beans eggs figs plums nuts".split()
WORDS = [*NAMES, *THINGS, "what", "does", "eat", "eats", "today", "?", "."]

_SIZES = {
    "vocab_size": len(SPECIAL_TOKENS) + len(WORDS), "hidden_size": 32, "embedding_size": 32,
    "intra_bottleneck_size": 16, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
    "max_position_embeddings": 48, "initializer_range": 0.2,
}  # fmt: skip
BERT = ModelConfig(**_SIZES)
MOBILE = ModelConfig(
    **_SIZES, use_bottleneck=True, trigram_input=True, key_query_shared_bottleneck=True, hidden_act="relu",
    num_feedforward_networks=2, normalization_type="no_norm", classifier_activation=False,
)  # fmt: skip


def no_dropout(config):
    return config.replace(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)


def write_model(folder, config=BERT, head=None, seed=1, num_labels=None):
    """A model folder with random weights -> its path, a str"""
    params = init_parameters(parameter_shapes(config, head, num_labels), config, np.random.default_rng(seed))
    save_model(folder, params, config, WordPieceTokenizer([*SPECIAL_TOKENS, *WORDS]))
    return str(folder)


def _write(path, lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join("\t".join(map(str, line)) + "\n" for line in lines), encoding="utf-8")


def write_glue(folder, count=32):
    """SST-2, STS-B and RTE with random sentences: nothing to understand, all to remember. Dev is train -> str"""
    rng = np.random.default_rng(5)
    texts = [" ".join(rng.choice(WORDS[:32], rng.integers(2, 12))) for _ in range(2 * count)]
    labels = rng.permutation(np.arange(count) % 2)
    for split in ("train", "dev"):
        _write(folder / "SST-2" / f"{split}.tsv", [("sentence", "label"), *zip(texts[:count], labels, strict=True)])
        _write(
            folder / "RTE" / f"{split}.tsv",
            [("index", "sentence1", "sentence2", "label")]
            + [(i, texts[i], texts[count + i], ("entailment", "not_entailment")[labels[i]]) for i in range(count)],
        )
        _write(
            folder / "STS-B" / f"{split}.tsv",
            [("index", "sentence1", "sentence2", "score")]
            + [(i, texts[i], texts[count + i], f"{5.0 * i / count:.3f}") for i in range(count)],
        )
    _write(folder / "RTE" / "test.tsv", [("index", "sentence1", "sentence2"),
                                         *((i, texts[i], texts[count + i]) for i in range(count))])  # fmt: skip
    return str(folder)


def write_squad(folder, questions=16, version="1.1"):
    """Two articles of eight paragraphs, a question each; dev is train -> str. v2.0: every fourth has no answer."""
    rng, articles, number = np.random.default_rng(7), [], 0
    for a in range(2):
        paragraphs = []
        for _ in range(questions // 2):
            who = rng.permutation(len(NAMES))[:4]
            what = rng.permutation(len(THINGS))[:4]
            context = " ".join(f"{NAMES[n]} eats {THINGS[t]} today." for n, t in zip(who, what, strict=True))
            asked, thing = int(rng.integers(4)), None
            thing = THINGS[what[asked]]
            qa = {"id": f"q{number}", "question": f"what does {NAMES[who[asked]]} eat today?",
                  "answers": [{"text": thing, "answer_start": context.index(f" {thing} ") + 1}]}  # fmt: skip
            if version == "2.0":
                qa["is_impossible"] = number % 4 == 0
                if qa["is_impossible"]:
                    qa |= {"answers": [], "question": "what does nobody eat?"}
            paragraphs.append({"context": context, "qas": [qa]})
            number += 1
        articles.append({"title": f"article {a}", "paragraphs": paragraphs})
    folder.mkdir(parents=True, exist_ok=True)
    for split in ("train", "dev"):
        text = json.dumps({"version": version if version == "1.1" else "v2.0", "data": articles})
        (folder / f"{split}-v{version}.json").write_text(text, encoding="utf-8")
    return str(folder)
