"""From a user's table to batches: reading, what each column is, rows as numbers, their order."""
