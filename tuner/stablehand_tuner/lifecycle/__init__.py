"""The life of a change: proposed, applied, tried, kept or rolled back."""
