"""Did a change help or harm: comparisons and tests."""
