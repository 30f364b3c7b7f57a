"""Several operations in one pass through memory, each with a forward and a backward of its own.

They compute what the single operations compute one after the other (tests/test_fusion.py), only faster. The models use
them where they are; a student edition has none, so that its models compute with the student's own functions.
"""
