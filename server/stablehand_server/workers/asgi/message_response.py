"""gunicorn's response of a WSGI app, said in an ASGI server's messages: over HTTP/2 and uWSGI's protocol."""

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
        """Leave it to the protocol below to say where the body ends."""
        return False

    def can_sendfile(self) -> bool:
        """Send files as any other body."""
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
        """Say that the response is complete."""
        self.send_headers()
        self._say({"type": "http.response.body", "body": b"", "more_body": False})


class MessageOutlet:
    """Stands for the socket, to which gunicorn writes what is no response of the app's: errors and early hints."""

    def __init__(self, client: Any, send: Callable[[Any], Awaitable[None]], loop: asyncio.AbstractEventLoop) -> None:
        self._client = client
        self._say = _sender(send, loop)

    def __getattr__(self, name: str) -> Any:
        """Be the socket in all that is no input or output."""
        return getattr(self._client, name)

    def sendall(self, data: bytes) -> None:
        """Say the same in messages; `data` is a whole response of gunicorn's."""
        head, _, body = bytes(data).partition(b"\r\n\r\n")
        status_line, *lines = head.split(b"\r\n")
        status = int(status_line.split()[1])
        headers = [(name.lower(), value.strip()) for name, _, value in (line.partition(b":") for line in lines)]
        if status == _EARLY_HINTS:
            self._say({"type": "http.response.informational", "status": status, "headers": headers})
        elif status >= 200:  # noqa: PLR2004 (a final status; the protocol below says 100 by itself)
            headers = [(name, value) for name, value in headers if name != b"connection"]
            self._say({"type": "http.response.start", "status": status, "headers": headers})
            self._say({"type": "http.response.body", "body": body})

    def send(self, data: bytes) -> int:
        """Send all of it."""
        self.sendall(data)
        return len(data)

    def gettimeout(self) -> float:
        """Say that nothing is to be set for a moment."""
        return 0.0


def _sender(send: Callable[[Any], Awaitable[None]], loop: asyncio.AbstractEventLoop) -> Callable[[Any], None]:
    async def sent(message: Any) -> None:
        await send(message)

    def say(message: Any) -> None:
        asyncio.run_coroutine_threadsafe(sent(message), loop).result()

    return say
