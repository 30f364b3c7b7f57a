"""What students use: check, hints, progress."""
