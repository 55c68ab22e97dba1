"""Simulates sweeps on recorded curves, to compare stopping rules at equal cost, in seconds and without a GPU."""
