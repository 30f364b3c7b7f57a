"""Three batches for each model: without padding, with both segment types, and with padding.

ReLU has a kink at 0. If an input of ReLU is closer to 0 than the rounding error, it may have different signs in two
correct float32 models, and the gradients of this unit then differ by far more than rounding. A full-size model has a
million such inputs, so we draw batches until none is that close.
"""

import numpy as np

from ..model.pretraining import pretraining_forward
from ..ops.fusion import use_fusion
from ..text.batches import PretrainingBatch
from .differences import PAD_ID

VARIANTS = ("one segment", "two segments", "padding")
KINK = 1e-6  # the float32 errors of these inputs, which are of magnitude 1, are at most 7e-7
_ATTEMPTS = 500


def nearest_kink(params, config, batch):
    """The smallest |x| of all inputs of ReLU in the model; infinity if the model has none."""
    if config.hidden_act != "relu":
        return np.inf
    with use_fusion(False):  # a fused layer does not store the input of ReLU
        _, cache = pretraining_forward(params, config, batch)
    before = [ffn.intermediate.activation.x for block in cache.encoder.blocks for ffn in block.feed_forwards]
    return min(float(np.abs(x).min()) for x in [*before, cache.words.activation.x])


def draw_batch(case, variant, rng):
    """A batch of B texts of T tokens with a quarter of the words masked; no real token is [PAD].

    variant: "one segment", "two segments", or "padding" (and two segments)
    """
    lengths = np.full(case.batch_size, case.tokens)
    if variant == "padding":  # the first of several texts has no padding
        unpadded = 1 if case.batch_size > 1 else 0
        lengths[unpadded:] = rng.integers(1, case.tokens, case.batch_size - unpadded)
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
    """Like `draw_batch`, but repeated until no input of ReLU is closer to 0 than KINK."""
    for _ in range(_ATTEMPTS):
        batch = draw_batch(case, variant, rng)
        if nearest_kink(params, case.config, batch) > KINK:
            return batch
    raise ValueError(
        f"{case.name}: found no batch off the kinks in {_ATTEMPTS} draws, expected one; try another --seed"
    )
