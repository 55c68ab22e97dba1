"""Evidence for a sweep's results: confirmation with new seeds, comparison and replay."""
