"""Tests that need an NVIDIA GPU; `make gpu-test` runs them, `make test` does not."""
