"""Measurements that decide the batch size and the learning rate."""
