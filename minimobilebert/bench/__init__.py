"""Benchmarks: kernels, models and training steps, compared with NumPy, PyTorch and ONNX Runtime in the same run."""
