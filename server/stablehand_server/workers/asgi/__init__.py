"""The class asgi: one event loop for an ASGI app, and threads beside it for a WSGI app."""
