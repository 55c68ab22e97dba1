"""Runs attempts in workers of Ray Tune."""
