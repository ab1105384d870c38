"""The demonstration: an app that mostly waits, started badly on purpose, tunes itself while it is watched."""
