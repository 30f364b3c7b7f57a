"""The matrix product in the words of BLIS: packing, micro-kernel, macro-kernel, epilogue."""
