"""Kinds of one's own for convnn: one of each."""
