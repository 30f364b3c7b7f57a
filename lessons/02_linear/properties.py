"""What lesson 02's functions must do. Arguments are drawn here; what is right comes from the reference."""

from minimobilebert.course.shared.bundles import backward_properties, forward_properties

LINEAR = "minimobilebert/ops/linear.py:linear_forward"


def layer(rng, tokens, size, out, bias=True, residual=False):
    return {
        "x": rng.normal(size=(*tokens, size)),
        "weight": rng.normal(size=(out, size)),
        "bias": rng.normal(size=out) if bias else None,
        **({"residual": rng.normal(size=(*tokens, out))} if residual else {}),
    }


def draw(rng):
    """[B, T, in] -> [B, T, out], all four sizes different: a transpose in the wrong place cannot fit by chance"""
    batch, tokens, size, out = rng.permutation([2, 3, 4, 5])
    return layer(rng, (batch, tokens), size, out)


def with_residual(rng):
    return layer(rng, (2, 3), 4, 5, residual=True)


def without_bias(rng):
    return layer(rng, (3, 2), 5, 4, bias=False)


def no_tokens(rng):
    return layer(rng, (0,), 3, 4)


def one_token(rng):
    return layer(rng, (), 4, 3)


def one_of_each(rng):
    return layer(rng, (1, 1), 1, 1)


def large(rng):
    """Some 20,000 numbers: two forward passes for each of them take many seconds, the formula a millisecond."""
    return layer(rng, (4, 32), 128, 96)


edges = [with_residual, without_bias, no_tokens, one_token, one_of_each]
forward_properties(
    "02.1", draw, edges=edges, large=lambda rng: layer(rng, (2, 9), 3000, 7, residual=True)
)  # fmt: skip
backward_properties(
    "02.2", draw, forward=LINEAR, wrt=("x", "weight", "bias"), edges=[without_bias, *edges[2:]], large=large
)
