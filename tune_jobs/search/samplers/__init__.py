"""Samplers, one a file: what a search tries next."""
