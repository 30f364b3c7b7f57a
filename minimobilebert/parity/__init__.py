"""Compare each layer and each gradient of this project's model with transformers' model (extra `compare`)."""
