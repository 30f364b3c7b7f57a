"""From text to batches: documents, sentences, word pieces, sentence pairs, masked words."""
