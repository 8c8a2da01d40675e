"""Training of the user's own model, loss or optimizer."""
