"""Apps as people really run them: each has one thing that a tuner can harm, or that misleads it."""
