"""The gradient checker: `check_gradients` compares a hand-written backward with finite differences."""

from .check import check_gradients

__all__ = ["check_gradients"]
