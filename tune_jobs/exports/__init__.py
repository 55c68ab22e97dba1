"""Exports of a whole sweep: as a table, or as Optuna studies."""
