"""Operations with named parameters: the forward reads weights from `params`, the backward writes to `grads`.

`params` and `grads` are flat dicts with the same keys; `name` is the part before `.weight` and `.bias`.
"""

from typing import Any, NamedTuple

from ..ops.activations import ACTIVATIONS
from ..ops.dropout import dropout_backward, dropout_forward
from ..ops.fusion import dense_activation_pair, dense_nonorm_pair, fused
from ..ops.layernorm import layernorm_backward, layernorm_forward
from ..ops.linear import linear_backward, linear_forward
from ..ops.nonorm import nonorm_backward, nonorm_forward
from ..ops.quantized_linear import QuantizedWeight, quantized_linear_forward


def _weight_and_bias(params, name):
    return params[f"{name}.weight"], params[f"{name}.bias"]


def fuses(params, name):
    """Whether the dense layer `name` runs fused with what follows; a quantised weight has no fused form."""
    return fused() and not isinstance(params[f"{name}.weight"], QuantizedWeight)


def dense(params, name, x, residual=None):
    """y = x W^T + b (+ residual); x [..., in], residual [..., out] or None -> y [..., out], cache

    A quantised weight (ops/quantized_linear.py) is for inference alone: its cache is None.
    """
    if isinstance(params[f"{name}.weight"], QuantizedWeight):
        return quantized_linear_forward(x, *_weight_and_bias(params, name), residual), None
    return linear_forward(x, *_weight_and_bias(params, name), residual)


def dense_backward(dy, cache, grads, name):
    """dy [..., out] -> dx [..., in]; writes the gradients of `name` to `grads`"""
    dx, grads[f"{name}.weight"], grads[f"{name}.bias"] = linear_backward(dy, cache)
    return dx


class UnfusedActivationCache(NamedTuple):
    linear: Any
    activation: Any


def dense_activation(params, name, x, config):
    """activation(dense(x)); x [..., in] -> y [..., out], cache"""
    if fuses(params, name):
        return dense_activation_pair.forward(x, *_weight_and_bias(params, name), config.hidden_act)
    s, linear = dense(params, name, x)
    y, cache = activation(s, config)
    return y, UnfusedActivationCache(linear, cache)


def dense_activation_backward(dy, cache, grads, name, config):
    """dy [..., out] -> dx [..., in]; writes the gradients of `name` to `grads`"""
    if not isinstance(cache, UnfusedActivationCache):
        dx, grads[f"{name}.weight"], grads[f"{name}.bias"] = dense_activation_pair.backward(dy, cache)
        return dx
    ds = activation_backward(dy, cache.activation, config)
    return dense_backward(ds, cache.linear, grads, name)


class UnfusedNormCache(NamedTuple):
    dense: Any
    dropout: Any
    norm: Any


def dense_norm(params, dense_name, norm_name, x, residual, config, rng=None, dropout_rate=0.0):
    """Norm(dropout(dense(x)) + residual); x [..., in], residual [..., out] or None -> y [..., out], cache"""
    drops = rng is not None and dropout_rate > 0.0
    if fuses(params, dense_name) and config.normalization_type == "no_norm" and not drops:
        weights = _weight_and_bias(params, dense_name)
        return dense_nonorm_pair.forward(x, *weights, residual, *_weight_and_bias(params, norm_name))
    s, dense_cache = dense(params, dense_name, x, None if drops else residual)
    s, dropout = dropout_forward(s, dropout_rate, rng)
    if drops and residual is not None:
        s += residual  # in place: dropout returned a new array
    y, norm_cache = norm(params, norm_name, s, config)
    return y, UnfusedNormCache(dense_cache, dropout, norm_cache)


def dense_norm_backward(dy, cache, grads, dense_name, norm_name, config):
    """dy [..., out] -> dx [..., in], dresidual [..., out]; writes the gradients of both names to `grads`"""
    if not isinstance(cache, UnfusedNormCache):
        (
            dx, grads[f"{dense_name}.weight"], grads[f"{dense_name}.bias"], dresidual,
            grads[f"{norm_name}.weight"], grads[f"{norm_name}.bias"],
        ) = dense_nonorm_pair.backward(dy, cache)  # fmt: skip
        return dx, dresidual
    ds = norm_backward(dy, cache.norm, grads, norm_name, config)
    return dense_backward(dropout_backward(ds, cache.dropout), cache.dense, grads, dense_name), ds


def norm(params, name, x, config):
    """NoNorm or LayerNorm, according to `config.normalization_type`; x [..., N] -> y [..., N], cache"""
    weight, bias = _weight_and_bias(params, name)
    if config.normalization_type == "no_norm":
        return nonorm_forward(x, weight, bias)
    return layernorm_forward(x, weight, bias, config.layer_norm_eps)


def norm_backward(dy, cache, grads, name, config):
    """dy [..., N] -> dx [..., N]; writes the gradients of `name` to `grads`"""
    backward = nonorm_backward if config.normalization_type == "no_norm" else layernorm_backward
    dx, grads[f"{name}.weight"], grads[f"{name}.bias"] = backward(dy, cache)
    return dx


def activation(x, config):
    """ReLU or GELU, according to `config.hidden_act`; x [...] -> y [...], cache"""
    return ACTIVATIONS[config.hidden_act].forward(x)


def activation_backward(dy, cache, config):
    """dy [...] -> dx [...]"""
    return ACTIVATIONS[config.hidden_act].backward(dy, cache)
