"""What teachers use: editions, grading, Gradescope, mutants. Never part of a student edition."""
