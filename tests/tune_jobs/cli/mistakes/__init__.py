"""Typical mistakes of a researcher's first week, and the exact answer to each."""
