"""The tuner: observations in, settings out. Pure: no I/O, no clock, no randomness of its own.

It also holds the two contracts between the server and whatever runs the tuner: `settings` (what a server should run)
and `metric_names` (the metrics that a server exposes).
"""
