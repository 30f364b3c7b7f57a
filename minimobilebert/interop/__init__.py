"""Hugging Face checkpoints, both ways (extra `interop`): files, configurations, names, vocabulary."""
