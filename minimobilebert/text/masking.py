"""Masked words: the tokens that the model has to predict (Section 3.1 of the BERT paper).

In a sequence of n real tokens we choose round(0.15 n) positions at random, at least 1 and at most `max_predictions`,
but never [CLS], [SEP] or [PAD]. We replace the token at a chosen position

    80 %  by [MASK]
    10 %  by a random piece of the vocabulary, so that any token may be wrong
    10 %  by itself, so that the model also learns representations of unmasked words

The loss includes all chosen positions, also the unchanged ones.
"""

import numpy as np

MASKED_LM_PROBABILITY = 0.15


def mask_tokens(input_ids, attention_mask, tokenizer, max_predictions, rng, probability=MASKED_LM_PROBABILITY):
    """Choose and replace tokens of a batch.

    input_ids [B, T] int32, attention_mask [B, T] bool
    -> masked input_ids [B, T], masked_positions [M] int64 (b * T + t, ascending), masked_labels [M] int32
    """
    candidates = attention_mask & (input_ids != tokenizer.cls_id) & (input_ids != tokenizer.sep_id)
    wanted = np.rint(attention_mask.sum(axis=1) * probability)
    wanted = np.minimum(np.clip(wanted, 1, max_predictions), candidates.sum(axis=1))  # [B]

    # The w candidates with the smallest random keys are a random sample of size w without replacement.
    keys = np.where(candidates, rng.random(input_ids.shape), 2.0)
    order = np.argsort(keys, axis=1, kind="stable")
    chosen = np.zeros(input_ids.shape, bool)
    np.put_along_axis(chosen, order, np.arange(input_ids.shape[1]) < wanted[:, None], axis=1)

    positions = np.flatnonzero(chosen)
    labels = input_ids.reshape(-1)[positions]
    action = rng.random(len(positions))
    random_pieces = rng.integers(tokenizer.vocab_size, size=len(positions), dtype=np.int32)
    replacement = np.where(action < 0.8, np.int32(tokenizer.mask_id), np.where(action < 0.9, random_pieces, labels))
    masked = input_ids.copy()
    masked.reshape(-1)[positions] = replacement
    return masked, positions, labels
