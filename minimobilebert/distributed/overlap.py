"""Gradients travel while the backward pass of the lower layers still runs.

The backward pass finishes the gradients of the last layer first. As soon as a bucket of them is complete, its sum over
the ranks starts, and the ranks go on computing:

    backward      | layer 3 | layer 2 | layer 1 | layer 0 | embeddings |
    on their way            |- bucket 0 -|- bucket 1 -|- bucket 2 -|- the rest -|

Numbers are added in the same order as without buckets, so the bits are the same. What is not a layer's own (embeddings,
heads) travels at the end: a tied word table gets the last part of its gradient there.
"""

import time

import numpy as np

from .reduction import Numbers, Reduction

BUCKET_BYTES = 2**20  # smaller ones start earlier, larger ones need fewer messages


def plan_buckets(gradients):
    """The layers' gradients in the order in which the backward pass wrote them -> list of tuples of names"""
    buckets, size = [[]], 0
    for name, gradient in gradients.items():
        if ".encoder.layer." not in name:
            continue
        if size >= BUCKET_BYTES:
            buckets.append([])
            size = 0
        buckets[-1].append(name)
        size += gradient.nbytes
    return [tuple(names) for names in buckets if names]


def _flat(gradients, names):
    return np.concatenate([gradients[name].reshape(-1) for name in names])


class GradientSum:
    """The gradients of one step on their way: call it with (name, gradient) as they are written, then `finish`.

    nodes {(low, high): {name: array}}: the nodes of the tree that this rank has computed already
    last: the function {name: array of the last part} -> {(low, high): {name: array}}, the node that these complete, or
        {} on a rank without a part
    plan: the buckets, the same on all ranks
    """

    def __init__(self, communicator, nodes, last, parts, how, plan):
        self._communicator, self._nodes, self._last, self._parts, self._how = communicator, nodes, last, parts, how
        self._written, self._plan, self._sums = {}, list(plan), []
        self.seconds = 0.0  # spent with what travels, rather than with computing

    def __call__(self, name, gradient):
        start = time.perf_counter()
        self._written[name] = gradient
        for _, reduction in self._sums:
            reduction.advance()
        while self._plan and all(name in self._written for name in self._plan[0]):
            self._start(self._plan.pop(0), self._written)
        self.seconds += time.perf_counter() - start

    def _start(self, names, gradients):
        """Start the sum of these gradients"""
        nodes = {**self._nodes, **self._last({name: gradients[name] for name in names})}
        flat = {node: _flat(of_node, names) for node, of_node in nodes.items()}
        length, dtype = sum(gradients[name].size for name in names), gradients[names[0]].dtype
        numbers = Numbers(length, dtype, self._parts, self._how)
        tag = 2 * len(self._sums)
        self._sums.append((names, Reduction(self._communicator, flat, numbers, tag)))

    def finish(self, gradients):
        """gradients {name: array}: all of the last part -> {name: array}, the sums over all parts"""
        start = time.perf_counter()
        started = {name for names, _ in self._sums for name in names}
        rest = tuple(name for name in gradients if name not in started)
        if rest:
            self._start(rest, gradients)
        total = {}
        for names, reduction in self._sums:
            flat, first = reduction.wait(), 0
            for name in names:
                total[name] = flat[first : first + gradients[name].size].reshape(gradients[name].shape)
                first += gradients[name].size
        self.seconds += time.perf_counter() - start
        return {name: total[name] for name in gradients}
