"""The code of the course: manifest, student edition, checks, hints, grading, mutants. The texts are in lessons/."""
