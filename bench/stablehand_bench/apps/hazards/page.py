"""What all apps with hazards have in common: who asks is greeted by name, so that a client can tell a wrong answer.

`/ready` is answered without the app's work: a server that cannot do the work has started all the same.
"""

from __future__ import annotations

import http
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    StartResponse = Callable[..., Any]
    App = Callable[[dict[str, Any], StartResponse], list[bytes]]

READY = "/ready"


def page(work: Callable[[], object]) -> App:
    """Return the WSGI app in which each request does the work, then greets its user."""

    def app(environ: dict[str, Any], start_response: StartResponse) -> list[bytes]:
        if environ["PATH_INFO"] != READY:
            work()
        return answer(start_response, greeting(user(environ)))

    return app


def user(environ: dict[str, Any]) -> str:
    """Return who asks: `/?user=0007`."""
    name, _, value = environ["QUERY_STRING"].partition("=")
    return value if name == "user" else ""


def greeting(name: str) -> str:
    """Return what a user must be answered."""
    return f"Hello, user {name}!\n"


def answer(
    start_response: StartResponse, text: str, status: int = 200, headers: Sequence[tuple[str, str]] = ()
) -> list[bytes]:
    """Answer with a text."""
    body = text.encode()
    fields = [("Content-Type", "text/plain"), ("Content-Length", str(len(body))), *headers]
    start_response(f"{status} {http.HTTPStatus(status).phrase}", fields)
    return [body]
