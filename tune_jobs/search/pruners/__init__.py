"""Stopping rules, one a file: which trials a search gives up early."""
