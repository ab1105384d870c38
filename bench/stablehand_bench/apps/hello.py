"""The smallest app: all that is left to measure is the server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_BODY = b"Hello, world!\n"
_HEADERS = [("Content-Type", "text/plain"), ("Content-Length", str(len(_BODY)))]


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:  # noqa: ARG001 (WSGI)
    """Say hello."""
    start_response("200 OK", list(_HEADERS))
    return [_BODY]


async def asgi_app(scope: dict[str, Any], receive: Any, send: Callable[..., Any]) -> None:  # noqa: ARG001 (ASGI)
    """Say hello to ASGI servers."""
    if scope["type"] != "http":
        raise ValueError(f"nothing but HTTP here, no {scope['type']}")
    headers = [(name.lower().encode(), value.encode()) for name, value in _HEADERS]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": _BODY})
