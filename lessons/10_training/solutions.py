"""Lesson 10 as a student would write it; never part of a student edition. Mutants are made from these."""

import numpy as np


class AdamW:
    def step(self, params, gradients, learning_rate, multipliers=None, factor=1.0):
        for name, gradient in gradients.items():
            rate = learning_rate
            if multipliers is not None:
                rate = learning_rate * multipliers[name]
            if rate == 0:
                continue
            self.updates[name] = self.updates[name] + 1
            count = self.updates[name]
            w, m, v = params[name], self.first[name], self.second[name]
            g = factor * gradient
            if not self.exclude(name):
                w *= 1 - rate * self.weight_decay
            m[...] = self.beta1 * m + (1 - self.beta1) * g
            v[...] = self.beta2 * v + (1 - self.beta2) * g**2
            m_hat = m / (1 - self.beta1**count)
            v_hat = v / (1 - self.beta2**count)
            w -= rate * m_hat / (np.sqrt(v_hat) + self.eps)


def clip_by_global_norm(gradients, max_norm):
    total = 0.0
    for g in gradients.values():
        total += float((g**2).sum())
    norm = float(np.sqrt(total))
    factor = 1.0
    if np.isfinite(norm) and norm > max_norm:
        factor = max_norm / norm
    return norm, factor


class WarmupLinearDecay:
    def __call__(self, step):
        if step < self.warmup_steps:
            return self.peak * (step / self.warmup_steps)
        done = min(step / self.total_steps, 1.0)
        return self.peak * ((1 - done) * (1 - self.end_fraction) + self.end_fraction)


class LAMB:
    def step(self, params, gradients, learning_rate, multipliers=None, factor=1.0):
        for name, gradient in gradients.items():
            rate = learning_rate
            if multipliers is not None:
                rate = learning_rate * multipliers[name]
            if rate == 0:
                continue
            w, m, v = params[name], self.first[name], self.second[name]
            g = factor * gradient
            m[...] = self.beta1 * m + (1 - self.beta1) * g
            v[...] = self.beta2 * v + (1 - self.beta2) * g**2
            update = m / (np.sqrt(v) + self.eps)
            ratio = 1.0
            if not self.exclude(name):
                update = update + self.weight_decay * w
                w_norm = float(np.sqrt((w**2).sum()))
                u_norm = float(np.sqrt((update**2).sum()))
                if w_norm > 0 and u_norm > 0:
                    ratio = w_norm / u_norm
            w -= rate * ratio * update
