"""Sweeps played on recorded curves: what stopping rules are worth at equal cost, in seconds and without a GPU."""
