"""Import and export of Hugging Face checkpoints (extra `interop`): files, configurations, names, vocabulary."""
