"""Measurements of requests and of the app, taken by the process that serves them."""
