"""The tuner on apps with hazards, beside the best static settings that harm nobody."""
