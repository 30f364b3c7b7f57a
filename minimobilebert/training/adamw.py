"""AdamW: Adam with decoupled weight decay (Loshchilov and Hutter, 2019), equal to torch.optim.AdamW.

For each parameter w with gradient g and learning rate lr; t counts the updates of this parameter:

    1. w <- w (1 - lr * decay)                      not for biases and normalisation weights
    2. m <- b1 m + (1 - b1) g
    3. v <- b2 v + (1 - b2) g^2
    4. w <- w - lr * (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps)
"""

import functools
from typing import NamedTuple

import numpy as np

from ..kernels import optimizer as kernel
from ..kernels.runtime.backend import accelerated_by


def is_bias_or_norm(name):
    """True for biases and normalisation parameters, which get no weight decay, as in BERT."""
    return name.endswith(".bias") or "LayerNorm" in name


@functools.lru_cache(maxsize=64)
def power(base, exponent):
    """base^exponent for an integer exponent >= 0, by squaring. C's `pow` would round differently in each library."""
    result = 1.0
    while exponent:
        if exponent % 2:
            result *= base
        base, exponent = base * base, exponent // 2
    return result


class AdamWNumbers(NamedTuple):
    """The numbers of one update of one parameter."""

    factor: float  # the gradient is multiplied by it first (clipping)
    rate: float
    decay: float
    beta1: float
    beta2: float
    eps: float
    correction1: float  # 1 - beta1^t
    correction2: float  # 1 - beta2^t


@accelerated_by(kernel.adamw_update)
def adamw_update(w, g, m, v, numbers):
    """Update one parameter in place; w, g, m, v have the same shape, numbers: AdamWNumbers"""
    number = w.dtype.type
    g = g * number(numbers.factor)
    w *= number(1.0 - numbers.rate * numbers.decay)
    m += number(1.0 - numbers.beta1) * (g - m)
    v += number(1.0 - numbers.beta2) * (g * g - v)
    denominator = np.sqrt(v) * number(1.0 / np.sqrt(numbers.correction2)) + number(numbers.eps)
    w -= number(numbers.rate / numbers.correction1) * m / denominator


class AdamW:
    """params: {name: array}; exclude(name) -> True for a parameter without weight decay."""

    def __init__(self, params, *, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.01, exclude=is_bias_or_norm):
        self.beta1, self.beta2, self.eps, self.weight_decay, self.exclude = beta1, beta2, eps, weight_decay, exclude
        self.first = {name: np.zeros_like(array) for name, array in params.items()}
        self.second = {name: np.zeros_like(array) for name, array in params.items()}
        self.updates = dict.fromkeys(params, 0)

    def step(self, params, gradients, learning_rate, multipliers=None, factor=1.0):
        """Update `params` in place. Each gradient is multiplied by `factor` first (see clipping.py).

        multipliers {name: number} or None: factors of the learning rate, per parameter
        A parameter without gradient, or with learning rate 0, does not change.
        """
        for name, gradient in gradients.items():
            rate = learning_rate * (1.0 if multipliers is None else multipliers[name])
            if rate == 0.0:
                continue
            self.updates[name] += 1
            t = self.updates[name]
            decay = 0.0 if self.exclude(name) else self.weight_decay
            corrections = 1.0 - power(self.beta1, t), 1.0 - power(self.beta2, t)
            numbers = AdamWNumbers(factor, rate, decay, self.beta1, self.beta2, self.eps, *corrections)
            adamw_update(params[name], gradient, self.first[name], self.second[name], numbers)

    def state(self):
        """All arrays that a checkpoint must store -> {name: array}"""
        state = {f"first.{name}": array for name, array in self.first.items()}
        state |= {f"second.{name}": array for name, array in self.second.items()}
        return state | {f"updates.{name}": np.array(count) for name, count in self.updates.items()}

    def load_state(self, state):
        """Restore what `state` returned."""
        for name in self.updates:
            self.first[name][...] = state[f"first.{name}"]
            self.second[name][...] = state[f"second.{name}"]
            self.updates[name] = int(state[f"updates.{name}"])
