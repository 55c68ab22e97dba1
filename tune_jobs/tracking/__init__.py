"""Trackers: services in which people compare sweeps."""
