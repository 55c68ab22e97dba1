"""What only a machine with an NVIDIA GPU can show; `make gpu-test` runs it, `make test` does not."""
