"""Samplers, one per file: they decide which configuration to try next."""
