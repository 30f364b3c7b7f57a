"""The teacher's side: editions, grading, Gradescope, mutants. A student edition never contains it."""
