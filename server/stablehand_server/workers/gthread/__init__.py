"""The class gthread: one process, a pool of threads."""
