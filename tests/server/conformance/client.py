"""A client that sees what really happens on a connection: bytes in, responses and the connection's end out."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import socket
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE_SECONDS = 25.0  # for whatever has to come; a server that takes longer counts as silent
_LONGEST_SHOWN = 70


@dataclasses.dataclass
class Response:
    """What a server has answered; `whole` is false where the connection ended before the body did."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    framing: str
    whole: bool = True
    first: str = ""  # what stands where the status should, if that is no number

    def header(self, name: str) -> str:
        """Return the values of a header, empty without one."""
        return ", ".join(value for key, value in self.headers if key == name)

    def __str__(self) -> str:
        """Show status and body; of an error page, which no app has written, only the status."""
        shown = str(self.status or self.first or "no response")
        if self.body and (self.status < 400 or self.header("x-app")):
            text = self.body.decode("latin-1")
            digest = hashlib.sha256(self.body).hexdigest()[:6]
            shown += f" {text!r}" if len(text) <= _LONGEST_SHOWN else f" {len(text)} bytes {digest}"
        return shown if self.whole else f"{shown} cut"

    def cut(self) -> str:
        """Show it, without how much has come of one that ended too soon: that is a matter of time."""
        return str(self) if self.whole else f"{self.status} cut"


class Client:
    """One connection. What cannot be sent any more is no error: what was answered tells."""

    def __init__(self, connection: socket.socket, patience: float = PATIENCE_SECONDS) -> None:
        self.connection = connection
        self.patience = patience
        self._buffer = b""
        self.end = ""  # how the connection has ended: closed, reset, or silent where it has not

    def __enter__(self) -> Client:  # noqa: PYI034 (Self is of a newer Python)
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def send(self, *parts: bytes, pause: float = 0.0) -> Client:
        """Send the parts, with a pause before each but the first."""
        self.connection.settimeout(PATIENCE_SECONDS)
        with contextlib.suppress(OSError):
            for number, part in enumerate(parts):
                if number:
                    time.sleep(pause)
                self.connection.sendall(part)
        return self

    def finish(self) -> Client:
        """Close the sending side."""
        with contextlib.suppress(OSError):
            # Not a TLS socket's own, after which it would read what comes as it is.
            socket.socket.shutdown(self.connection, socket.SHUT_WR)
        return self

    def reset(self) -> None:
        """Leave without a word."""
        linger = (1).to_bytes(4, "little") + (0).to_bytes(4, "little")
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.connection.close()

    def read(self, size: int) -> bytes:
        """Return so many bytes, fewer where the connection ends before."""
        self._until(lambda: len(self._buffer) >= size, self.patience)
        taken, self._buffer = self._buffer[:size], self._buffer[size:]
        return taken

    # Reading ----------------------------------------------------------------------------------------------------------

    def response(self, *, head: bool = False, seconds: float = 0.0) -> Response | None:
        """Return the next response, None where none comes: `end` then says how it ended."""
        seconds = seconds or self.patience
        if not self._until(lambda: b"\r\n\r\n" in self._buffer or self._is_no_response(), seconds):
            return self._remainder()
        if self._is_no_response():
            self._until(lambda: False, seconds)
            return self._remainder()
        head_bytes, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        first, *lines = head_bytes.decode("latin-1").split("\r\n")
        headers = [(name.strip().lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]
        word = first.split(" ")[1]
        response = Response(int(word) if word.isdigit() else 0, headers, b"", "", first=word)
        self._read_body(response, head, seconds)
        return response

    def final(self, **options: float) -> Response | None:
        """Return the next response that is not an interim one."""
        while (response := self.response(**options)) is not None and 100 < response.status < 200:
            pass
        return response

    def second(self, path: str = "/probe") -> str:
        """Send another request on the connection; tell whether it is answered.

        A connection that the server has closed answers what comes later with a reset: that is the same.
        """
        self.end = "" if self.end == "silent" else self.end
        self.send(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        return str(self.final() or self.end).replace("reset", "closed")

    def everything(self, *, quiet: float = 0.0, seconds: float = 0.0) -> str:
        """Return all responses and the connection's end.

        With `quiet`, the sending side is closed after so many seconds in which nothing has come: a server that waits
        for more then knows that there is none.
        """
        shown: list[str] = []
        finished = not quiet
        while True:
            response = self.response(seconds=seconds if finished else quiet)
            if response is not None:
                shown.append(str(response))
            if not self.end:
                continue
            if self.end == "silent" and not finished:
                self.end = ""
                finished = True
                self.finish()
                continue
            return "; ".join([*shown, self.end])

    def _is_no_response(self) -> bool:
        return not b"HTTP/1.".startswith(self._buffer[:7])

    def _remainder(self) -> Response | None:
        if not self._buffer or self.end == "silent":
            return None
        body, self._buffer = self._buffer, b""
        return Response(0, [("x-app", "")], body, "none", whole=False)

    def _read_body(self, response: Response, head: bool, seconds: float) -> None:  # noqa: FBT001 (private)
        if head or response.status < 200 or response.status in {204, 304}:
            response.framing = "none"
        elif "chunked" in response.header("transfer-encoding"):
            response.framing = "chunked"
            self._read_chunks(response, seconds)
        elif length := response.header("content-length"):
            response.framing = "length"
            response.whole = self._until(lambda: len(self._buffer) >= int(length), seconds)
            response.body, self._buffer = self._buffer[: int(length)], self._buffer[int(length) :]
        else:
            response.framing = "until close"
            self._until(lambda: False, seconds)
            response.whole = self.end == "closed"
            response.body, self._buffer = self._buffer, b""

    def _read_chunks(self, response: Response, seconds: float) -> None:
        while True:
            response.whole = self._until(lambda: b"\r\n" in self._buffer, seconds)
            if not response.whole:
                response.body += self._buffer
                self._buffer = b""
                return
            line, _, rest = self._buffer.partition(b"\r\n")
            size = int(line.split(b";")[0], 16)
            self._buffer = rest
            response.whole = self._until(lambda: len(self._buffer) >= size + 2, seconds)  # noqa: B023 (called at once)
            response.body += self._buffer[:size]
            self._buffer = self._buffer[size + 2 :]
            if not size or not response.whole:
                return

    def _until(self, condition: Callable[[], object], seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while not condition():
            left = deadline - time.monotonic()
            if self.end and self.end != "silent":
                return False
            if left <= 0:
                self.end = "silent"
                return False
            self._receive(left)
        return True

    def _receive(self, seconds: float) -> None:
        self.connection.settimeout(seconds)
        try:
            received = self.connection.recv(65536)
        except TimeoutError:
            self.end = "silent"
        except OSError:
            self.end = "reset"
        else:
            self.end = "" if received else "closed"
            self._buffer += received
