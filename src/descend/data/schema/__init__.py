"""What each column of a table is, learned from the training rows."""
