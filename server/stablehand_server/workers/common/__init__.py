"""What the worker classes share."""
