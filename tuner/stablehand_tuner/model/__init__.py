"""From an observation to the settings that would suit it best."""
