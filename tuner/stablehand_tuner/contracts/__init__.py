"""The two contracts between operator and server: settings, and the names of metrics."""
