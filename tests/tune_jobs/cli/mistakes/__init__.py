"""What a researcher does wrong in the first week, and the exact answer to each mistake."""
