"""Checks for all kinds, built-in or from plugins. `convnn check-plugin` and our tests run the same checks."""
