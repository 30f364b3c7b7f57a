"""The course's machinery: manifest, student edition, check, hints, grading, mutants. Its texts live in lessons/."""
