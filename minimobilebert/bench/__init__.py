"""Measurements: our kernels, models and training steps beside NumPy, PyTorch and ONNX Runtime, in one run."""
