"""The process that runs a student's code, and the two ends of the pipe to it."""
