"""Encoded rows in memory or on disk, their order, and the batches made of them."""
