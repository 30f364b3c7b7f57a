"""Download data and weights from their publishers: fetch each file once, verify it, and unpack it safely."""
