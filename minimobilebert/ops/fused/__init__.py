"""Fused operations: several operations in one pass over memory, each with its own forward and backward.

They compute the same as the single operations one after the other (tests/test_fusion.py), but faster. A student edition
does not contain them, so that its models run the student's own functions.
"""
