"""Inference with a trained model: encode texts, fill masks, embed sentences, predict next sentences and answers."""
