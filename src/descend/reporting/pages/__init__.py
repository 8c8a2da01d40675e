"""The content of each page, built from records."""
