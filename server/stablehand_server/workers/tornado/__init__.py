"""The class tornado: Tornado's event loop, for its own applications and for WSGI apps."""
