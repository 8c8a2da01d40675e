"""Raw rows as numbers and category codes."""
