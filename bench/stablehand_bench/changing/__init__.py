"""The tuner under a load that changes, beside the best static settings for the whole of it."""
