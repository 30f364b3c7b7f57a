"""The process that runs a student's code, and the protocol between it and the grader."""
