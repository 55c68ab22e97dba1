"""Measurements that anyone can repeat: `python -m benchmarks.layers` and `python -m benchmarks.tables`."""
