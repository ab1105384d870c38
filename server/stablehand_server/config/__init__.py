"""The server's configuration: flags, the settings file, the container's limits, and reloading all of it."""
