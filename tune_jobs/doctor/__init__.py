"""Find problems that would prevent a sweep from running, and name the fix."""
