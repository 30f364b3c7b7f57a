"""Downstream tasks: labelled text for fine-tuning, and metrics."""
