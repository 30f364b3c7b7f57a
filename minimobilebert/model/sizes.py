"""The size of a model: parameters by part, and floating-point operations of one forward pass.

`python -m minimobilebert models` compares them with the paper's figures (commands/paper_sizes.py).
"""

from .parameters import count_parameters, parameter_shapes

PARTS = ("embeddings", "attention", "feed-forwards", "bottlenecks", "pooler")


def part_of(name):
    """The part of the model that the parameter `name` belongs to."""
    if ".embeddings." in name:
        return "embeddings"
    if ".pooler." in name:
        return "pooler"
    if "bottleneck" in name:
        return "bottlenecks"
    return "attention" if ".attention." in name else "feed-forwards"


def parameters_by_part(config):
    """{part: number of parameters} of the bare encoder"""
    totals = dict.fromkeys(PARTS, 0)
    for name, shape in parameter_shapes(config).items():
        totals[part_of(name)] += count_parameters({name: shape})
    return totals


def forward_flops(config, tokens):
    """Floating-point operations of the encoder's matrix products for one sequence; a multiply-add counts as two.

    Every dense layer costs 2 * in * out a token; attention 2 * 2 * T * C a token (scores, and weighted values).
    """
    shapes = parameter_shapes(config)
    dense = [s for n, s in shapes.items() if len(s) == 2 and "_embeddings." not in n and ".pooler." not in n]
    pooler = [s for n, s in shapes.items() if len(s) == 2 and ".pooler." in n]
    products = 2 * tokens * sum(out * inputs for out, inputs in dense)
    attention = config.num_hidden_layers * 4 * tokens * tokens * config.inner_size
    return products + attention + 2 * sum(out * inputs for out, inputs in pooler)
