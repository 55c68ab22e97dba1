"""Parsing of sweep files: from text to a tree of values and domains, with the position of each."""
