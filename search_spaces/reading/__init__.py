"""From text to a tree of values and domains, with the place of each."""
