"""The activation functions that `hidden_act` of a configuration may name."""

from collections.abc import Callable
from typing import NamedTuple

from .gelu import GeluCache, gelu_backward, gelu_forward, gelu_tanh_backward, gelu_tanh_forward
from .relu import ReluCache, relu_backward, relu_forward


class Activation(NamedTuple):
    forward: Callable  # x [...] -> y [...], cache
    backward: Callable  # dy [...], cache -> dx [...]
    cache: type
    from_output: bool  # the derivative is a function of y, so a layer that stores y need not store x


ACTIVATIONS = {
    "relu": Activation(relu_forward, relu_backward, ReluCache, True),
    "gelu": Activation(gelu_forward, gelu_backward, GeluCache, False),
    "gelu_tanh": Activation(gelu_tanh_forward, gelu_tanh_backward, GeluCache, False),
}
