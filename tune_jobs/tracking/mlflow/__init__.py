"""Tracking in MLflow."""
