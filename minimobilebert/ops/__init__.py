"""One operation a file: the equation, `x_forward`, `x_backward`. No operation knows who calls it."""
