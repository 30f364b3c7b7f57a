"""Operations by parameter name: the forward looks its weights up, the backward files its gradients.

`params` and `grads` are flat dicts with the same keys; `name` is the part before `.weight` and `.bias`.
"""

from ..ops.gelu import gelu_backward, gelu_forward, gelu_tanh_backward, gelu_tanh_forward
from ..ops.layernorm import layernorm_backward, layernorm_forward
from ..ops.linear import linear_backward, linear_forward
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


def dense_backward(dy, cache, grads, name):
    """dy [..., out] -> dx [..., in]; files the gradients of `name`"""
    dx, grads[f"{name}.weight"], grads[f"{name}.bias"] = linear_backward(dy, cache)
    return dx


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
