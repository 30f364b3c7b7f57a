"""One operation per file: the equation, `x_forward` and `x_backward`. An operation does not depend on its callers."""
