"""One update, compiled, and the training loop that repeats it."""
