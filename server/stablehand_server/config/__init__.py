"""What the server is told: flags, the settings file, the container's limits, and a reload of all that."""
