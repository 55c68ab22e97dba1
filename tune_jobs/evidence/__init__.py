"""What a sweep has shown, and how sure that is: its best configurations confirmed with new seeds."""
