"""A websocket's client, as far as the cases need one."""

from __future__ import annotations

import base64
import contextlib
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conformance.client import Client
    from conformance.servers import Server

TEXT, CLOSE, PING = 1, 8, 9


class WebSocket:
    """An open websocket, or one that was refused: `status` tells."""

    def __init__(self, server: Server, path: str = "/ws", *lines: str) -> None:
        self.client: Client = server.connect()
        key = base64.b64encode(os.urandom(16)).decode()
        head = [f"GET {path} HTTP/1.1", "Host: x", "Upgrade: websocket", "Connection: Upgrade", *lines]
        head += [f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13", "", ""]
        response = self.client.send("\r\n".join(head).encode()).response()
        self.status = 0 if response is None else response.status

    def __enter__(self) -> WebSocket:  # noqa: PYI034 (Self is of a newer Python)
        return self

    def __exit__(self, *_: object) -> None:
        self.client.connection.close()

    def send(self, opcode: int, payload: bytes) -> None:
        """Send a short frame."""
        mask = os.urandom(4)
        masked = bytes(byte ^ mask[place % 4] for place, byte in enumerate(payload))
        self.client.send(bytes([0x80 | opcode, 0x80 | len(payload)]) + mask + masked)

    def receive(self) -> str:
        """Return the next frame in words, or how the connection ended."""
        head = self._read(2)
        if len(head) < 2:
            return self.client.end
        payload = self._read(head[1] & 0x7F)
        opcode = head[0] & 0xF
        if opcode == CLOSE:
            return f"close {int.from_bytes(payload[:2], 'big')}"
        return payload.decode() if opcode == TEXT else f"frame {opcode} {payload!r}"

    def echo(self, text: str) -> str:
        """Send a text, and return what comes back."""
        self.send(TEXT, text.encode())
        return self.receive()

    def close(self) -> str:
        """Send a close frame, and return the answer and the connection's end."""
        self.send(CLOSE, (1000).to_bytes(2, "big"))
        answer = self.receive()
        with contextlib.suppress(OSError):
            return f"{answer}, {'closed' if self._read(1) == b'' and self.client.end != 'silent' else self.client.end}"
        return answer

    def _read(self, size: int) -> bytes:
        return self.client.read(size)
