"""Failures that are nobody's wrong input."""


class TrainingDiverged(Exception):
    """The loss or a gradient is no longer a finite number. The command line ends with exit code 1."""
