"""The student's side: check, hints, progress."""
