"""Operations by parameter name: the forward looks its weights up, the backward files its gradients.

`params` and `grads` are flat dicts with the same keys; `name` is the part before `.weight` and `.bias`.
"""

from typing import Any, NamedTuple

from ..ops.dropout import dropout_backward, dropout_forward
from ..ops.fusion import fused
from ..ops.gelu import gelu_backward, gelu_forward, gelu_tanh_backward, gelu_tanh_forward
from ..ops.layernorm import layernorm_backward, layernorm_forward
from ..ops.linear import linear_backward, linear_forward
from ..ops.linear_activation import linear_activation_forward
from ..ops.linear_fused import linear_backward_fused
from ..ops.linear_nonorm import LinearNoNormCache, linear_nonorm_backward, linear_nonorm_forward
from ..ops.nonorm import nonorm_backward, nonorm_forward
from ..ops.relu import relu_backward, relu_forward

_ACTIVATIONS = {
    "relu": (relu_forward, relu_backward),
    "gelu": (gelu_forward, gelu_backward),
    "gelu_tanh": (gelu_tanh_forward, gelu_tanh_backward),
}


def dense(params, name, x):
    """y = x W^T + b; x [..., in] -> y [..., out], cache"""
    return linear_forward(x, params[f"{name}.weight"], params[f"{name}.bias"])


def dense_backward(dy, cache, grads, name, *, add=None, through=None):
    """dy [..., out] -> dx [..., in]; files the gradients of `name`

    add [..., in] or None: a gradient that arrives at x on another way, to which dx is added in place
    through: the cache of the `dense_activation` that made x, or None: with it, back through its activation too
    """
    weight, bias = f"{name}.weight", f"{name}.bias"
    if fused():
        dx, grads[weight], grads[bias] = linear_backward_fused(dy, cache, add=add, through=through)
        return dx
    dx, grads[weight], grads[bias] = linear_backward(dy, cache)
    if add is not None:
        add += dx
        dx = add
    return dx if through is None else _ACTIVATIONS[through.hidden_act][1](dx, through.activation)


class DenseActivationCache(NamedTuple):
    """Where dense layer and activation are separate operations."""

    linear: Any
    activation: Any
    hidden_act: str  # its name


def dense_activation(params, name, x, config):
    """activation(dense(x)); x [..., in] -> y [..., out], cache

    Its backward is in two places: the activation's in the layer above, with `through=cache`; then
    `dense_backward(ds, cache.linear, ...)`.
    """
    weight, bias = params[f"{name}.weight"], params[f"{name}.bias"]
    if fused():
        return linear_activation_forward(x, weight, bias, config.hidden_act)
    s, linear = linear_forward(x, weight, bias)
    y, cache = _ACTIVATIONS[config.hidden_act][0](s)
    return y, DenseActivationCache(linear, cache, config.hidden_act)


class DenseNormCache(NamedTuple):
    """Where dense layer, residual and normalisation are separate operations."""

    dense: Any
    dropout: Any
    norm: Any


def dense_norm(params, dense_name, norm_name, x, residual, config, rng=None, dropout_rate=0.0):
    """Norm(dropout(dense(x)) + residual), in one pass where it is NoNorm, nothing is dropped and fusion is on

    x [..., in], residual [..., out] or None -> y [..., out], cache
    """
    weight, bias = params[f"{dense_name}.weight"], params[f"{dense_name}.bias"]
    drops = rng is not None and dropout_rate > 0.0
    if fused() and config.normalization_type == "no_norm" and not drops:
        scale, shift = params[f"{norm_name}.weight"], params[f"{norm_name}.bias"]
        return linear_nonorm_forward(x, weight, bias, residual, scale, shift)
    y, dense_cache = linear_forward(x, weight, bias, None if drops else residual)
    dropout = None
    if drops:
        y, dropout = dropout_forward(y, dropout_rate, rng)
        if residual is not None:
            y += residual  # y is new: something was dropped
    y, norm_cache = norm(params, norm_name, y, config)
    return y, DenseNormCache(dense_cache, dropout, norm_cache)


def dense_norm_backward(dy, cache, grads, dense_name, norm_name, config, **ways):
    """Reverse of `dense_norm`; files the gradients of both names.

    dy [..., out]; ways: `add`, `through` of `dense_backward` -> dx [..., in], dresidual [..., out]
    """
    if isinstance(cache, LinearNoNormCache):
        (
            dx, grads[f"{dense_name}.weight"], grads[f"{dense_name}.bias"], dresidual,
            grads[f"{norm_name}.weight"], grads[f"{norm_name}.bias"],
        ) = linear_nonorm_backward(dy, cache, **ways)  # fmt: skip
        return dx, dresidual
    dresidual = norm_backward(dy, cache.norm, grads, norm_name, config)
    dropped = dropout_backward(dresidual, cache.dropout)
    return dense_backward(dropped, cache.dense, grads, dense_name, **ways), dresidual


def norm(params, name, x, config):
    """NoNorm or LayerNorm, as `config.normalization_type` says; x [..., N] -> y [..., N], cache"""
    weight, bias = params[f"{name}.weight"], params[f"{name}.bias"]
    if config.normalization_type == "no_norm":
        return nonorm_forward(x, weight, bias)
    return layernorm_forward(x, weight, bias, config.layer_norm_eps)


def norm_backward(dy, cache, grads, name, config):
    """dy [..., N] -> dx [..., N]; files the gradients of `name`"""
    backward = nonorm_backward if config.normalization_type == "no_norm" else layernorm_backward
    dx, grads[f"{name}.weight"], grads[f"{name}.bias"] = backward(dy, cache)
    return dx


def activation(x, config):
    """ReLU or GELU, as `config.hidden_act` says; x [...] -> y [...], cache"""
    return _ACTIVATIONS[config.hidden_act][0](x)


def activation_backward(dy, cache, config):
    """dy [...] -> dx [...]"""
    return _ACTIVATIONS[config.hidden_act][1](dy, cache)
