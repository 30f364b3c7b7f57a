"""Errors that are not caused by invalid input."""


class TrainingDiverged(Exception):
    """The loss or a gradient is not finite. The command line ends with exit code 1."""
