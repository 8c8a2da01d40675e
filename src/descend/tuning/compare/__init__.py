"""Gradient descent, SGD and mini-batch methods, measured side by side."""
