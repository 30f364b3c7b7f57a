"""Downstream tasks: labelled text for fine-tuning, and how an answer is scored."""
