"""Learning-rate schedules, step -> float, and the multipliers of progressive transfer. Step 0 is the first update."""

import math


class Constant:
    """The same learning rate at every step."""

    def __init__(self, value):
        self.value = value

    def __call__(self, step):
        return self.value


class WarmupLinearDecay:
    """BERT's schedule: linear warm-up, then linear decay to a small fraction of the peak.

        lr(t) = peak * t / warmup                                    for t < warmup
        lr(t) = peak * ((1 - t/total) (1 - end) + end)               for t >= warmup; constant for t >= total

    The decay counts from step 0, not from the end of the warm-up. The learning rate therefore drops a little at
    t = warmup.
    """

    def __init__(self, peak, warmup_steps, total_steps, end_fraction=1e-4):
        self.peak, self.warmup_steps = peak, warmup_steps
        self.total_steps, self.end_fraction = total_steps, end_fraction

    def __call__(self, step):
        if step < self.warmup_steps:
            return self.peak * step / self.warmup_steps
        left = 1.0 - min(step, self.total_steps) / self.total_steps
        return self.peak * (left * (1.0 - self.end_fraction) + self.end_fraction)


def progressive_multiplier(step, layer, steps_per_layer):
    """Learning-rate multiplier of a layer in progressive knowledge transfer, as in the released code.

    With n = steps_per_layer and tau = (step mod n) / n:

        phase       = 0 while step <= layer * n;  1 while step <= (layer + 1) * n;  0.1 afterwards
        background  = min(0.9 + 0.1 sqrt(1 - tau), 10 tau)      a short warm-up in every phase, from 0
        multiplier  = 3 * background * phase

    The current layer trains at 3 times the base rate. Layers before it train at a tenth of that ("softened" freezing,
    Section 3.6). Layers after it do not train yet.
    """
    if step <= layer * steps_per_layer:
        return 0.0
    phase = 1.0 if step <= (layer + 1) * steps_per_layer else 0.1
    tau = (step % steps_per_layer) / steps_per_layer
    return 3.0 * min(0.9 + 0.1 * math.sqrt(1.0 - tau), 10.0 * tau) * phase
