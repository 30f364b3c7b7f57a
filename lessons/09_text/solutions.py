"""Lesson 09 as a student would write it; never part of a student edition. Mutants are made from these."""

import numpy as np

from minimobilebert.text.masking import MASKED_LM_PROBABILITY
from minimobilebert.text.wordpiece import MAX_INPUT_CHARS_PER_WORD


class WordPieceTokenizer:
    def _cut(self, word):
        unknown = [self.unk_id], [len(word)]
        if len(word) > MAX_INPUT_CHARS_PER_WORD:
            return unknown
        ids, stops = [], []
        begin = 0
        while begin < len(word):
            end = len(word)
            while end > begin:
                piece = word[begin:end] if begin == 0 else "##" + word[begin:end]
                if piece in self._id_of:
                    break
                end -= 1
            if end == begin:
                return unknown
            ids.append(self._id_of[piece])
            stops.append(end)
            begin = end
        return ids, stops


def mask_tokens(input_ids, attention_mask, tokenizer, max_predictions, rng, probability=MASKED_LM_PROBABILITY):
    masked = input_ids.copy()
    positions, labels = [], []
    for row, ids in enumerate(input_ids):
        real = attention_mask[row]
        allowed = np.flatnonzero(real & (ids != tokenizer.cls_id) & (ids != tokenizer.sep_id))
        count = max(round(float(probability * real.sum())), 1)
        count = min(count, max_predictions, len(allowed))
        for t in np.sort(rng.choice(allowed, count, replace=False)):
            positions.append(row * input_ids.shape[1] + t)
            labels.append(ids[t])
            u = rng.random()
            if u < 0.8:
                masked[row, t] = tokenizer.mask_id
            elif u < 0.9:
                masked[row, t] = rng.integers(tokenizer.vocab_size)
    return masked, np.array(positions, np.int64), np.array(labels, np.int32)
