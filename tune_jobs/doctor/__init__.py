"""What would keep sweeps from running, and what helps."""
