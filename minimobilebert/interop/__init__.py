"""Import and export of Hugging Face checkpoints, and export to ONNX (extra `interop`)."""
