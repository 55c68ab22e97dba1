"""A whole sweep for other programs: as a table, or as Optuna studies."""
