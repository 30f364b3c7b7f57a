"""LAMB: Adam with a trust ratio for each parameter (You et al., 2020), in the form of the released MobileBERT code.

For each parameter w with gradient g and learning rate lr, without bias correction:

    1. m <- b1 m + (1 - b1) g
    2. v <- b2 v + (1 - b2) g^2
    3. u = m / (sqrt(v) + eps) + decay * w            no decay for biases and normalisation weights
    4. ratio = |w| / |u|                              1 if either is 0, and for biases and normalisation weights
    5. w <- w - lr * ratio * u

The trust ratio makes |update| / |w| = lr for each parameter, independent of the scale of its gradient. This keeps
training stable with very large batches (4,096 sequences in the paper).
"""

import math

import numpy as np

from ..ops.sums import dot
from .adamw import is_bias_or_norm


class LAMB:
    """params: {name: array}; exclude(name) -> True for a parameter without weight decay and trust ratio."""

    def __init__(self, params, *, beta1=0.9, beta2=0.999, eps=1e-6, weight_decay=0.01, exclude=is_bias_or_norm):
        self.beta1, self.beta2, self.eps, self.weight_decay, self.exclude = beta1, beta2, eps, weight_decay, exclude
        self.first = {name: np.zeros_like(array) for name, array in params.items()}
        self.second = {name: np.zeros_like(array) for name, array in params.items()}

    def step(self, params, gradients, learning_rate, multipliers=None, factor=1.0):
        """Update `params` in place. Each gradient is multiplied by `factor` first (see clipping.py).

        multipliers {name: number} or None: factors of the learning rate, per parameter
        A parameter without gradient, or with learning rate 0, does not change.
        """
        for name, gradient in gradients.items():
            rate = learning_rate * (1.0 if multipliers is None else multipliers[name])
            if rate == 0.0:
                continue
            w, m, v, excluded = params[name], self.first[name], self.second[name], self.exclude(name)
            number = w.dtype.type
            gradient = gradient * number(factor)
            m += number(1.0 - self.beta1) * (gradient - m)
            v += number(1.0 - self.beta2) * (gradient * gradient - v)
            u = m / (np.sqrt(v) + number(self.eps))
            ratio = 1.0
            if not excluded:
                u += number(self.weight_decay) * w
                w_norm, u_norm = math.sqrt(dot(w, w)), math.sqrt(dot(u, u))
                ratio = w_norm / u_norm if w_norm > 0.0 and u_norm > 0.0 else 1.0
            w -= number(rate * ratio) * u

    def state(self):
        """All arrays that a checkpoint must store -> {name: array}"""
        state = {f"first.{name}": array for name, array in self.first.items()}
        return state | {f"second.{name}": array for name, array in self.second.items()}

    def load_state(self, state):
        """Restore what `state` returned."""
        for name in self.first:
            self.first[name][...] = state[f"first.{name}"]
            self.second[name][...] = state[f"second.{name}"]
