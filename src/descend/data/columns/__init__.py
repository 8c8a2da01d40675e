"""What each column is, and what was learned from the training rows."""
