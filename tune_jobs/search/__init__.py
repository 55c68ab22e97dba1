"""The search: which configuration to try next, and which trial to stop."""
