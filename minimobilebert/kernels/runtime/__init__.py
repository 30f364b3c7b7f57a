"""What every kernel needs around it: compiling, caching, threads, memory, and the choice of the back end."""
