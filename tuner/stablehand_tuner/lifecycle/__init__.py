"""The life of a change: watched for, applied, tried, kept or rolled back."""
