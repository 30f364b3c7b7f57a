"""Cosines of MobileBERT's gradients with those in float64, per tensor, for several ways to compute them.

    python tests/gradients_in_bfloat16.py --texts 4 --tokens 64

The model has its full size and its first weights; the loss is that of masked words and next sentences. "Head too" rounds
the dense layer of the masked-word head as well, which the project does not. Biases of keys are left out: softmax ignores
them, so their gradient is 0. With PyTorch (extra compare) autocast has rows of its own.
"""

import argparse
import contextlib
import sys
from unittest import mock

import numpy as np

from minimobilebert.bench.rivals import as_tensors, autocast, build_pretraining
from minimobilebert.bench.training import CONFIGS, first_weights, random_batch
from minimobilebert.kernels.runtime.backend import use_backend
from minimobilebert.kernels.runtime.precision import use_precision
from minimobilebert.model.pretraining import mean_cross_entropy, pretraining_backward, pretraining_forward
from minimobilebert.support.extras import MissingExtra, require
from minimobilebert.support.tables import aligned

LIMIT = 0.999


def positive(text):
    """A number of a command line -> int"""
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a whole number above 0")
    return int(text)


def gradients(params, config, batch, forward="float32", backward="float32"):
    """Forward and backward pass, each in a precision -> {name: gradient}"""
    with use_precision(forward):
        output, cache = pretraining_forward(params, config, batch)
        _, dwords = mean_cross_entropy(output.word_logits, batch.masked_labels)
        _, dnext = mean_cross_entropy(output.next_sentence_logits, batch.next_sentence_labels)
    with use_precision(backward):
        return pretraining_backward(dwords, dnext, cache, config)


def gradients_of_pytorch(params, config, batch):
    """The same from transformers' model under autocast -> {name: gradient}"""
    torch, model = require("torch", "compare"), build_pretraining(params, config).train()
    labels = np.full(batch.input_ids.size, -100, np.int64)  # PyTorch's loss ignores positions with this label
    labels[batch.masked_positions] = batch.masked_labels
    with autocast("bfloat16"):
        loss = model(
            **as_tensors(batch[:3]), labels=torch.from_numpy(labels.reshape(batch.input_ids.shape)),
            next_sentence_label=torch.from_numpy(batch.next_sentence_labels.astype(np.int64)),
        ).loss  # fmt: skip
    loss.backward()
    return {name: parameter.grad.numpy() for name, parameter in model.named_parameters() if name in params}


def row_of(name, found, exact):
    """One row of the table"""
    cosines = {}
    for tensor, reference in exact.items():
        if not tensor.endswith("key.bias"):
            x, y = found[tensor].astype(np.float64).ravel(), reference.ravel()
            cosines[tensor] = float(x @ y / (np.linalg.norm(x) * np.linalg.norm(y)))
    worst = min(cosines, key=cosines.get)
    below = sum(cosine < LIMIT for cosine in cosines.values())
    return [name, f"{np.median(list(cosines.values())):.5f}", f"{cosines[worst]:.5f}", f"{below} of {len(cosines)}",
            worst.removeprefix("mobilebert.encoder.")]  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    for name, usual, what in (("texts", 4, "of random words in the batch"), ("tokens", 64, "of each text"),
                              ("layers", 24, "of the model")):  # fmt: skip
        parser.add_argument(f"--{name}", type=positive, default=usual, metavar="N", help=f"{what} (default {usual})")
    arguments = parser.parse_args()
    rows = [["activation, precision", "median", "smallest", f"under {LIMIT}", "where it is smallest"]]
    for activation in ("gelu", "relu"):
        config = CONFIGS["train_mobilebert"].replace(hidden_act=activation, num_hidden_layers=arguments.layers)
        params, batch = first_weights(config), random_batch(config, arguments.texts, arguments.tokens)
        with use_backend("numpy"):
            exact = gradients({name: x.astype(np.float64) for name, x in params.items()}, config, batch)
        for name, precisions in (("float32", ()), ("bfloat16", ("bfloat16", "bfloat16"))):
            rows.append(row_of(f"{activation}, {name}", gradients(params, config, batch, *precisions), exact))
        with mock.patch("minimobilebert.model.heads.in_float32", contextlib.nullcontext):
            found = gradients(params, config, batch, "bfloat16", "bfloat16")
        rows.append(row_of(f"{activation}, bfloat16, head too", found, exact))
        with use_backend("numpy"):  # compiled passes fit together only in one precision
            found = gradients(params, config, batch, "float32", "bfloat16")
        rows.append(row_of(f"{activation}, backward only in bfloat16", found, exact))
        try:
            rows.append(row_of(f"{activation}, PyTorch's autocast", gradients_of_pytorch(params, config, batch), exact))
        except MissingExtra as error:
            print(f"note: no row of PyTorch: {error}", file=sys.stderr)
    print("\n".join(aligned(rows, ruled=True)))


if __name__ == "__main__":
    main()
