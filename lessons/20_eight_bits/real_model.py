"""What one scale for all tokens would cost a trained model.

    python lessons/20_eight_bits/real_model.py runs/minilm --data data/glue

1. The inputs of all dense layers on 64 sentences: how large is the largest number of a token, and of all tokens?
2. Texts to vectors in 8 bits, with scales of three kinds, beside float32: their cosines and, with --data, Spearman's
   correlation on STS-B's dev split.

It takes some minutes for 22 million parameters, most of them for --data, and says on stderr how far it is.

Numbers are rounded to multiples of their scale and multiplied as numbers: that is what the integers mean.
"""

import argparse
import dataclasses
import sys

import numpy as np

from minimobilebert import Model
from minimobilebert.commands.failures import failure
from minimobilebert.distilling.measure import STSB, cosines, read_pairs, retention
from minimobilebert.inference.embed import Embedder
from minimobilebert.model import layers
from minimobilebert.model.quantization import quantize
from minimobilebert.ops.fusion import use_fusion
from minimobilebert.support.terminal import progress_bar
from minimobilebert.text.corpus import shipped_documents
from minimobilebert.training.model_folder import load_model

TEXTS = 64
LAYERS = 8  # lines of the table
SMALLEST = np.float32(1e-30)
TOKEN, BATCH, FIXED = "a scale for each token", "one scale for each batch", "one fixed scale"


class Rounding:
    """Stands in for `quantized_linear_forward`: x is rounded to multiples of scales of one kind."""

    def __init__(self, params, kind, fixed=None, keep=False):
        self.names = {id(weight): name for name, weight in params.items()}
        self.kind, self.fixed, self.keep = kind, fixed, keep
        self.numbers, self.inputs = {}, {}  # by the weight's name: it as float32; what it was multiplied with

    def scale(self, x, name):
        if self.kind == FIXED:
            return self.fixed[name]
        axis = -1 if self.kind == TOKEN else None
        return np.abs(x).max(axis=axis, keepdims=True) / np.float32(127.0)

    def __call__(self, x, weight, bias, residual=None):
        name = self.names[id(weight)]
        if name not in self.numbers:
            self.numbers[name] = weight[np.arange(weight.shape[0])]
        if self.keep:
            self.inputs.setdefault(name, []).append(x)
        scale = np.maximum(self.scale(x, name), SMALLEST)
        rounded = scale * np.clip(np.rint(x / scale), -127.0, 127.0)
        y = rounded @ self.numbers[name].T + bias
        return y if residual is None else y + residual


def with_scales(rounding, compute):
    """compute() with dense layers in 8 bits as `rounding` does them"""
    before = layers.quantized_linear_forward
    layers.quantized_linear_forward = rounding
    try:
        with use_fusion(False):  # then the engine runs the layers one by one
            return compute()
    finally:
        layers.quantized_linear_forward = before


def sentences(count):
    """[count] sentences of Moby Dick, 40 to 200 characters each, spread over the book."""
    found = [sentence for document in shipped_documents() if document.source == "moby-dick"
             for sentence in document.sentences() if 40 <= len(sentence) <= 200]  # fmt: skip
    return found[:: len(found) // count][:count]


def print_inputs(inputs):
    """inputs: {name of a weight: list of [B, T, N], without padding}"""
    rows, seen = [], set()
    for name, batches in inputs.items():
        each = [np.abs(x).max(axis=-1) for x in batches]  # [B, T] of each batch
        largest = max(part.max() for part in each)
        of_tokens = np.concatenate([part.reshape(-1) for part in each])
        if (largest, of_tokens.sum()) in seen:  # queries, keys and values may read the same numbers
            continue
        seen.add((largest, of_tokens.sum()))
        first = np.mean([(part.argmax(axis=1) == 0).mean() for part in each])
        every = np.concatenate([np.abs(x).reshape(-1, x.shape[-1]) for x in batches])
        zeros = [(every < scale / 254.0).mean() for scale in (of_tokens[:, None], largest)]
        middle = np.median(of_tokens)
        rows.append((largest / middle, name, largest, middle, first, *zeros))
    rows.sort(reverse=True)
    print(f"1. inputs of dense layers, the {min(LAYERS, len(rows))} of {len(rows)} that differ most between tokens")
    print(f"   {'':<44} largest   a token's   ratio   at [CLS]   become 0: token's scale   one scale")
    for ratio, name, largest, middle, first, own, one in rows[:LAYERS]:
        short = name.partition(".")[2].removesuffix(".weight").removeprefix("encoder.")
        print(f"   {short:<44} {largest:>7.2f} {middle:>11.2f} {ratio:>7.1f} {first:>10.0%} {own:>25.1%} {one:>11.1%}")


def print_vectors(model, whole, kinds, texts, pairs, bar):
    """model, whole: in float32 and in 8 bits; kinds: {name: Rounding}; bar: one step for each encoding of texts"""
    exact = Embedder(model, normalize=True)(texts)
    bar.update("vectors")
    print(f"\n2. {len(texts)} sentences to vectors: cosines with those in float32")
    for kind, rounding in kinds.items():
        found = with_scales(rounding, lambda: Embedder(whole, normalize=True)(texts))
        bar.update(kind)
        cosine = (found * exact).sum(axis=1)
        print(f"   {kind:<26} mean {cosine.mean():.4f}   smallest {cosine.min():.4f}")
    if pairs:

        def correlation(params):
            found = cosines(params, model.config, model.tokenizer, pairs, model.sentence)
            bar.update(pairs.name)
            return retention(found, pairs.labels)["spearman"]

        print(f"\n3. Spearman's correlation on {pairs.name}: {correlation(model.params):.4f} in float32")
        for kind, rounding in kinds.items():
            print(f"   {kind:<26} {with_scales(rounding, lambda: correlation(whole.params)):.4f}")


def run(folder, data):
    model = Model(*load_model(folder))
    whole = dataclasses.replace(model, params=quantize(model.params, model.config))
    pairs = read_pairs(STSB, data) if data else None
    chosen = sentences(2 * TEXTS)
    texts, others = chosen[::2], chosen[1::2]

    def inputs_of(some):
        rounding = Rounding(whole.params, TOKEN, keep=True)
        with_scales(rounding, lambda: Embedder(whole)(some))
        bar.update("inputs")
        return rounding.inputs

    with progress_bar("real_model", 6 + (4 if pairs else 0)) as bar:
        print_inputs(inputs_of(texts))
        fixed = {name: max(np.abs(x).max() for x in batches) / 127.0 for name, batches in inputs_of(others).items()}
        kinds = {kind: Rounding(whole.params, kind, fixed) for kind in (TOKEN, BATCH, FIXED)}
        print_vectors(model, whole, kinds, texts, pairs, bar)


def main(argv=None):
    parser = argparse.ArgumentParser(description="What one scale for all tokens would cost a trained model.")
    parser.add_argument("model", nargs="?", default="runs/minilm", help="a model folder (default: runs/minilm)")
    parser.add_argument("--data", metavar="FOLDER", help="the GLUE folder, to measure STS-B as well")
    arguments = parser.parse_args(argv)
    try:
        run(arguments.model, arguments.data)
    except Exception as error:
        text, code = failure(error, "real_model.py")
        print(f"real_model.py: {text}", file=sys.stderr)
        return code
    return 0


if __name__ == "__main__":
    sys.exit(main())
