"""Benchmarks: servers side by side on the same cores, in interleaved rounds, reported as ratios."""
