"""Benchmarks: a file for each question; `python -m benchmarks` runs them."""
