"""What the servers of a benchmark serve."""
