"""Which batch size and learning rate: measured, tried, and explained with the evidence."""
