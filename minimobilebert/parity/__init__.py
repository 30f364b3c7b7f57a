"""The same numbers in our model and in transformers' model: every layer, every gradient (extra `compare`)."""
