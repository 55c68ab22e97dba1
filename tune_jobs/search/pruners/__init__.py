"""Stopping rules, one per file: they decide which trials to stop early."""
