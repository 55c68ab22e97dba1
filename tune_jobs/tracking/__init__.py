"""Where a sweep is recorded for people to compare."""
