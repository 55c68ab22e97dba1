"""Attempts in the workers of Ray Tune."""
