"""Attention with four heads of 32 features, as in a MobileBERT block: forward, and forward with backward.

All sides return the attention maps, which attention transfer needs, and none stores the scores. PyTorch's fused
attention computes no complete map, so we use softmax(q k^T / sqrt K) v in PyTorch, with autograd for the backward. The
NumPy side is the code of ops/attention.py with in-place operations. There is no padding; only this project's kernel
handles a mask.
"""

import functools
import math

import numpy as np

from ..ops.attention import attention_backward, attention_forward
from ..support.extras import require
from .measure import Case

HEADS, HEAD_SIZE, BATCH, LENGTHS = 4, 32, 8, (128, 512)


def attention(name, batch=BATCH, lengths=LENGTHS, backward=False):
    """The cases of attention_forward, or, with backward=True, of attention_forward_backward."""
    rng, width = np.random.default_rng(1), HEADS * HEAD_SIZE
    for tokens in lengths:
        arrays = rng.standard_normal((4, batch, tokens, width), dtype=np.float32)
        products = 2 + 4 * backward  # of size T x K x T, per head
        moved = 4.0 * ((8 if backward else 4) * arrays[0].size + (2 + backward) * batch * HEADS * tokens * tokens)
        yield Case(
            name, f"{batch} x {tokens}, {HEADS} x {HEAD_SIZE}", "GFLOP/s",
            products * 2.0 * batch * HEADS * tokens * tokens * HEAD_SIZE, ("numpy", "torch"),
            functools.partial(_BUILD[backward], *arrays), moved=moved,
        )  # fmt: skip


def _heads(x):
    """[B, T, A*K] -> [B, A, T, K], a view"""
    return x.reshape(*x.shape[:2], HEADS, HEAD_SIZE).swapaxes(1, 2)


class _InPlace:
    """Attention in NumPy with preallocated memory."""

    def __init__(self, query, key, value):
        batch, tokens, _ = query.shape
        self.q, self.k, self.v = _heads(query), _heads(key), _heads(value)
        self.scores, self.maps, self.ds = np.empty((3, batch, HEADS, tokens, tokens), np.float32)
        self.context, self.dquery, self.dkey, self.dvalue = np.empty((4, *query.shape), np.float32)
        self.scale = np.float32(1.0 / math.sqrt(HEAD_SIZE))

    def forward(self):
        np.matmul(self.q, self.k.swapaxes(-1, -2), out=self.scores)
        np.multiply(self.scores, self.scale, out=self.scores)
        np.subtract(self.scores, self.scores.max(axis=-1, keepdims=True), out=self.maps)
        np.exp(self.maps, out=self.maps)
        np.divide(self.maps, self.maps.sum(axis=-1, keepdims=True), out=self.maps)
        np.matmul(self.maps, self.v, out=_heads(self.context))
        return self.context, self.maps

    def backward(self, dcontext):
        dc, ds = _heads(dcontext), self.ds
        np.matmul(self.maps.swapaxes(-1, -2), dc, out=_heads(self.dvalue))
        np.matmul(dc, self.v.swapaxes(-1, -2), out=ds)
        np.subtract(ds, np.einsum("baij,baij->bai", ds, self.maps)[..., None], out=ds)
        np.multiply(ds, self.maps, out=ds)
        np.multiply(ds, self.scale, out=ds)
        np.matmul(ds, self.k, out=_heads(self.dquery))
        np.matmul(ds.swapaxes(-1, -2), self.q, out=_heads(self.dkey))
        return self.dquery, self.dkey, self.dvalue


def _with_torch(torch, query, key, value):
    q, k, v = (x.view(*x.shape[:2], HEADS, HEAD_SIZE).transpose(1, 2) for x in (query, key, value))
    maps = torch.softmax(q @ k.transpose(-1, -2) * (1.0 / math.sqrt(HEAD_SIZE)), dim=-1)
    return (maps @ v).transpose(1, 2).reshape(query.shape), maps


def _forward(query, key, value, dcontext, side, threads):
    if side == "torch":
        torch = require("torch", "compare")
        tensors = [torch.from_numpy(array) for array in (query, key, value)]
        return torch.inference_mode()(lambda: _with_torch(torch, *tensors))
    if side == "numpy":
        return _InPlace(query, key, value).forward
    mask = np.ones(query.shape[:2], bool)

    def run():
        context, cache = attention_forward(query, key, value, mask, HEADS, keep_scores=False)
        return context, cache.probabilities

    return run


def _forward_backward(query, key, value, dcontext, side, threads):
    if side == "torch":
        torch = require("torch", "compare")
        tensors = [torch.from_numpy(array).requires_grad_() for array in (query, key, value)]
        upstream = torch.from_numpy(dcontext)

        def run():
            context, _ = _with_torch(torch, *tensors)
            return torch.autograd.grad(context, tensors, upstream)

        return run
    if side == "numpy":
        numpy = _InPlace(query, key, value)

        def run():
            numpy.forward()
            return numpy.backward(dcontext)

        return run
    mask = np.ones(query.shape[:2], bool)

    def run():
        _, cache = attention_forward(query, key, value, mask, HEADS, keep_scores=False)
        return attention_backward(dcontext, cache)

    return run


_BUILD = {False: _forward, True: _forward_backward}
