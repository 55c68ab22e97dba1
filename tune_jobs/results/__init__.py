"""What a sweep has found so far, from its record alone."""
