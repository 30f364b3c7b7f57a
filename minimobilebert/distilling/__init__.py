"""`distil`: a small student for any encoder, from text alone."""
