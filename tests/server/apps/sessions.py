"""An app that keeps its sessions in its process's memory: another process does not know them."""

import secrets
from http.cookies import SimpleCookie

_SESSIONS = set()


def app(environ, start_response):
    """Log in under /login; anything else needs a session."""
    if environ["PATH_INFO"] == "/login":
        session = secrets.token_hex(8)
        _SESSIONS.add(session)
        start_response("200 OK", [("Content-Length", "0"), ("Set-Cookie", f"session={session}")])
        return []
    cookie = SimpleCookie(environ.get("HTTP_COOKIE", "")).get("session")
    known = cookie is not None and cookie.value in _SESSIONS
    start_response("200 OK" if known else "401 Unauthorized", [("Content-Length", "5")])
    return [b"hello"]
