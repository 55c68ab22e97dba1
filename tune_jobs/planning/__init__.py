"""Predicts what a sweep will do and cost, before it starts."""
