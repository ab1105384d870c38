"""Benchmarks: servers side by side on the same cores, in interleaved rounds, told as ratios."""
