"""A trial on one worker: what decides that it harms, and the master's part that runs it and goes back."""
