"""What the operating system gives: files, processes, mounts, signals; and what of its text may be shown."""
