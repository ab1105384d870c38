"""What a benchmark says when it cannot go on."""


class BenchError(Exception):
    """A benchmark that cannot be run, or whose numbers would mean nothing; the text says what to do."""
