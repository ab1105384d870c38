"""The master: it starts, replaces and retires workers, and follows the settings."""
