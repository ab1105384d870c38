"""The tuner: observations in, settings out. Pure: no I/O, no clock, no randomness of its own.

It also holds the two contracts between whoever runs the tuner and the server: `settings` (what a server should run)
and `metric_names` (what a server says of itself).
"""
