"""Training of a custom model, loss or optimizer."""
