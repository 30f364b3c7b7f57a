"""Calibration: how large the inputs of each dense layer are on some text, for activations with a fixed scale.

Every dense layer keeps its input for a backward pass (ops/linear.py). So we run the model in float32 and look at the
caches: for each layer, the maximum of |x| over all tokens of all texts. Texts run one by one, without padding.
"""

import itertools

import numpy as np

from ..model.encoder import encoder_forward
from ..model.quantization import is_dense_name
from ..ops.fusion import use_fusion
from ..ops.linear import LinearCache
from ..support.terminal import progress_bar, say
from ..text.encoding import encode_pair, pad_batch
from ..text.sources import RowReader, find_sources

MOST_TEXTS = 256  # of a longer text, the first ones
UNIT = "paragraph"


def _linear_caches(tree):
    """All caches of dense layers in nested tuples and lists."""
    if isinstance(tree, LinearCache):
        yield tree
    elif isinstance(tree, tuple | list):
        for branch in tree:
            yield from _linear_caches(branch)


def input_ranges(params, config, texts):
    """texts: (input_ids, token_type_ids, attention_mask) of each -> {name of a dense layer's weight: float32}"""
    names = {id(array): name for name, array in params.items() if is_dense_name(name, config.prefix)}
    ranges = dict.fromkeys(names.values(), np.float32(0.0))
    with use_fusion(False):
        for inputs in texts:
            _, cache = encoder_forward(params, config, *inputs, keep_scores=False)
            for layer in _linear_caches(cache):
                name = names[id(layer.weight)]
                ranges[name] = max(ranges[name], np.abs(layer.x).max())
                if not ranges[name] < np.inf:
                    raise ValueError(f"{name}: found NaN or infinity in the layer's inputs, expected finite numbers")
    return ranges


def calibrate(saved, path, column=None):
    """Run the first MOST_TEXTS paragraphs of a text, a table or a folder of them -> as `input_ranges`, their number

    column: of tables, None for "text"
    """
    sources, longest = find_sources([path]), saved.config.max_position_embeddings
    rows = iter(RowReader(sources, UNIT, column))
    encodings = [encode_pair(saved.tokenizer, text, max_length=longest) for text in itertools.islice(rows, MOST_TEXTS)]
    if all(len(encoding.ids) <= 2 for encoding in encodings):  # [CLS] [SEP]: characters that the tokeniser removes
        raise ValueError(f"{path}: found no text to calibrate with, expected at least one paragraph")
    rest = ", the first of the text; the rest was not read" if next(rows, None) is not None else ""
    cut = sum(any(encoding.cut) for encoding in encodings)
    pieces = sum(len(encoding.ids) for encoding in encodings)
    with progress_bar("calibrate", pieces, unit="piece") as bar:

        def texts():
            for encoding in encodings:
                yield pad_batch([encoding], saved.tokenizer.pad_id)
                bar.update(steps=len(encoding.ids))

        ranges = input_ranges(saved.params, saved.config, texts())
    say(f"calibrated with {len(encodings)} paragraphs{rest}; {pieces:,} word pieces")
    if cut:
        say(f"note: {cut} of {len(encodings)} paragraphs cut to {longest} word pieces")
    return ranges, len(encodings)
