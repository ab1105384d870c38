"""gunicorn's WSGI response, translated to ASGI messages: for HTTP/2 and uWSGI's protocol."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from stablehand_server.gunicorn_internals.serving import Response

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_EARLY_HINTS = 103


class MessageResponse(Response):
    """Sends each message from the app's thread, and waits until it is sent."""

    headers_sent: bool
    headers: list[tuple[str, str]]

    def __init__(
        self, req: Any, sock: Any, cfg: Any, send: Callable[[Any], Awaitable[None]], loop: asyncio.AbstractEventLoop
    ) -> None:
        super().__init__(req, sock, cfg)
        self._say = _sender(send, loop)

    def is_chunked(self) -> bool:
        """Leave it to the protocol below to mark the end of the body."""
        return False

    def can_sendfile(self) -> bool:
        """Send files like any other body."""
        return False

    def send_headers(self) -> None:
        """Send status and headers, once."""
        if self.headers_sent:
            return
        headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in self.headers]
        self._say({"type": "http.response.start", "status": self.status_code, "headers": headers})
        self.headers_sent = True

    def _emit_body(self, data: bytes) -> None:
        self._say({"type": "http.response.body", "body": data, "more_body": True})

    def close(self) -> None:
        """Send the message that the response is complete."""
        self.send_headers()
        self._say({"type": "http.response.body", "body": b"", "more_body": False})


class MessageOutlet:
    """Replaces the socket, to which gunicorn writes what is not the app's response: errors and early hints."""

    def __init__(self, client: Any, send: Callable[[Any], Awaitable[None]], loop: asyncio.AbstractEventLoop) -> None:
        self._client = client
        self._say = _sender(send, loop)

    def __getattr__(self, name: str) -> Any:
        """Delegate everything but input and output to the socket."""
        return getattr(self._client, name)

    def sendall(self, data: bytes) -> None:
        """Send the same as messages; `data` is a whole gunicorn response."""
        head, _, body = bytes(data).partition(b"\r\n\r\n")
        status_line, *lines = head.split(b"\r\n")
        status = int(status_line.split()[1])
        headers = [(name.lower(), value.strip()) for name, _, value in (line.partition(b":") for line in lines)]
        if status == _EARLY_HINTS:
            self._say({"type": "http.response.informational", "status": status, "headers": headers})
        elif status >= 200:  # noqa: PLR2004 (a final status; the protocol below sends 100 itself)
            headers = [(name, value) for name, value in headers if name != b"connection"]
            self._say({"type": "http.response.start", "status": status, "headers": headers})
            self._say({"type": "http.response.body", "body": body})

    def send(self, data: bytes) -> int:
        """Send all of it."""
        self.sendall(data)
        return len(data)

    def gettimeout(self) -> float:
        """Return a context that changes nothing."""
        return 0.0


def _sender(send: Callable[[Any], Awaitable[None]], loop: asyncio.AbstractEventLoop) -> Callable[[Any], None]:
    async def sent(message: Any) -> None:
        await send(message)

    def say(message: Any) -> None:
        asyncio.run_coroutine_threadsafe(sent(message), loop).result()

    return say
