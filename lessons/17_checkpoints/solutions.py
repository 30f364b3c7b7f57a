"""Lesson 17 as a student would write it; never part of a student edition. Mutants are made from these."""

import numpy as np


def _present_spelling(tensors, config):
    present = {}
    for old, values in tensors.items():
        parts = old.split(".")
        if parts[-2:] == ["LayerNorm", "gamma"]:
            parts[-1] = "weight"
        elif parts[-2:] == ["LayerNorm", "beta"]:
            parts[-1] = "bias"
        new = ".".join(parts)
        if new.split(".")[0] in ("embeddings", "encoder", "pooler"):
            new = config.prefix + "." + new
        present[new] = values
    return present


def names_for_hf(params, config, head):
    named = dict(params)
    extra = "cls.predictions.dense.weight"
    if config.use_bottleneck and head in ("pretraining", "masked-words") and extra not in named:
        named[extra] = np.zeros((0, config.vocab_size), np.float32)
    if head is None:
        front = config.prefix + "."
        return {name[len(front) :] if name.startswith(front) else name: values for name, values in named.items()}
    return named
