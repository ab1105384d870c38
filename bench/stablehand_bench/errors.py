"""The error that a benchmark raises when it cannot continue."""


class BenchError(Exception):
    """A benchmark that cannot be run, or whose numbers would mean nothing; the text says what to do."""
