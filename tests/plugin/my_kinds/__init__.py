"""A plugin for convnn with kinds of all groups."""
