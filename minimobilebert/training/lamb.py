"""LAMB: Adam whose step is scaled to each parameter's own size (You et al., 2020), in the released MobileBERT's form.

For every parameter w with gradient g and learning rate lr, no bias correction:

    1. m <- b1 m + (1 - b1) g
    2. v <- b2 v + (1 - b2) g^2
    3. u = m / (sqrt(v) + eps) + decay * w            without decay for biases and norm weights
    4. ratio = |w| / |u|                              1 where either is 0, and for biases and norm weights
    5. w <- w - lr * ratio * u

With the ratio a layer moves by the same share of its size whatever the scale of its gradient, so very large
batches (4,096 sequences in the paper) train stably.
"""

import math

import numpy as np

from ..ops.sums import dot
from .adamw import is_bias_or_norm


class LAMB:
    """params: {name: array}; exclude(name) -> True where neither decay nor trust ratio applies."""

    def __init__(self, params, *, beta1=0.9, beta2=0.999, eps=1e-6, weight_decay=0.01, exclude=is_bias_or_norm):
        self.beta1, self.beta2, self.eps, self.weight_decay, self.exclude = beta1, beta2, eps, weight_decay, exclude
        self.first = {name: np.zeros_like(array) for name, array in params.items()}
        self.second = {name: np.zeros_like(array) for name, array in params.items()}

    def step(self, params, gradients, learning_rate, multipliers=None, factor=1.0):
        """Update `params` in place, with every gradient times `factor` (see clipping.py).

        multipliers {name: number} or None: what the learning rate of each parameter is multiplied with
        A parameter without gradient, or with learning rate 0, is left bit for bit.
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
                size, step = math.sqrt(dot(w, w)), math.sqrt(dot(u, u))
                ratio = size / step if size > 0.0 and step > 0.0 else 1.0
            w -= number(rate * ratio) * u

    def state(self):
        """Everything a checkpoint must hold -> {name: array}"""
        state = {f"first.{name}": array for name, array in self.first.items()}
        return state | {f"second.{name}": array for name, array in self.second.items()}

    def load_state(self, state):
        """The reverse of `state`."""
        for name in self.first:
            self.first[name][...] = state[f"first.{name}"]
            self.second[name][...] = state[f"second.{name}"]
