"""A trained model in use: encode texts, fill masks, embed sentences, judge whether one sentence follows another."""
