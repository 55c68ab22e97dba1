"""The operating system: files, processes, mounts, signals; and which text is safe to show."""
