"""Code that runs inside a worker: one attempt at one configuration."""
