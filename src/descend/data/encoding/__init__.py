"""Encode raw rows as numbers and category codes, and decode predictions."""
