"""Terminal output: tables, the live view and log lines."""
