"""What each column is, and rows as numbers."""
