"""Check that this machine computes the same results as others, bit for bit."""
