"""Kernels that are there to be read: the ladder from three loops to registers, counted memory, the measured peak."""
