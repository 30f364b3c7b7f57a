"""Compiled code only: the twins of operations whose NumPy form, in ops/, is too slow, and what they are made of."""
