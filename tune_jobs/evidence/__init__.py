"""What a sweep has shown, and how sure that is: confirmed with new seeds, and trained again."""
