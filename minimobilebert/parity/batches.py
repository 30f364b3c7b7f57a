"""Three batches for each model: without padding, with both segment types, and with padding.

ReLU has a kink at 0. Where a number in front of it is closer to 0 than rounding, two correct models in float32 may
stand on different sides, and the gradients of that unit then differ by far more than rounding. A full-size model has a
million such numbers, so a batch is drawn again until none is that close, as the gradient checker steps around kinks.
"""

import numpy as np

from ..model.parameters import feed_forward_names
from ..model.pretraining import pretraining_forward
from ..text.batches import PretrainingBatch
from .differences import PAD_ID

VARIANTS = ("one segment", "two segments", "padding")
KINK = 1e-6  # float32 leaves errors of up to 7e-7 in these numbers, which are of size 1
_ATTEMPTS = 500


def nearest_kink(params, config, batch):
    """The smallest |x| in front of any ReLU of the model; infinity where it has none."""
    if config.hidden_act != "relu":
        return np.inf
    _, cache = pretraining_forward(params, config, batch)
    before = []
    for layer, block in enumerate(cache.encoder.blocks):
        # The fused layer keeps what comes after ReLU only: the product in front of it is taken again.
        for name, ffn in zip(feed_forward_names(config), block.feed_forwards, strict=True):
            bias = params[f"{config.prefix}.encoder.layer.{layer}.{name}intermediate.dense.bias"]
            before.append(ffn.intermediate.x @ ffn.intermediate.weight.T + bias)
    return min(float(np.abs(x).min()) for x in [*before, cache.words.activation.x])


def draw_batch(case, variant, rng):
    """A batch of B texts of T tokens, a quarter of the words masked; no real word is [PAD].

    variant: "one segment", "two segments", or "padding" (and two segments)
    """
    lengths = np.full(case.batch_size, case.tokens)
    if variant == "padding":  # the first text stays whole, where there are others
        first = 1 if case.batch_size > 1 else 0
        lengths[first:] = rng.integers(1, case.tokens, case.batch_size - first)
    t = np.arange(case.tokens)
    mask = t < lengths[:, None]
    ids = np.where(mask, rng.integers(PAD_ID + 1, case.config.vocab_size, mask.shape), PAD_ID).astype(np.int32)
    segments = np.zeros_like(ids)
    if variant != "one segment":
        segments[(t >= (lengths[:, None] + 1) // 2) & mask] = 1
    real = np.flatnonzero(mask)
    positions = np.sort(rng.choice(real, max(1, len(real) // 4), replace=False))
    return PretrainingBatch(
        ids, segments, mask, positions, rng.integers(0, case.config.vocab_size, len(positions)).astype(np.int32),
        rng.integers(0, 2, case.batch_size).astype(np.int32),
    )  # fmt: skip


def draw_batch_off_kinks(case, variant, params, rng):
    """The same, drawn again while a ReLU is too close to its kink to be the same in float32 on both sides."""
    for _ in range(_ATTEMPTS):
        batch = draw_batch(case, variant, rng)
        if nearest_kink(params, case.config, batch) > KINK:
            return batch
    raise ValueError(
        f"{case.name}: found no batch off the kinks in {_ATTEMPTS} draws, expected one; try another --seed"
    )
