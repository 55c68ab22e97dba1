"""Whether what a sweep has recorded can be relied on."""
