"""What some apps ask over HTTP: a process of its own, with a limit or a cost of its own.

| path | a request |
|---|---|
| `/plain` | takes 50 ms |
| `/limited` | takes 25 ms; with 12 there already, it is answered 429 at once |
| `/slowing` | takes 10 ms alone, and the longer the more there are: 1 + n (n - 1) / 100 times |

Argument: its port. Apps find that in `STABLEHAND_BENCH_UPSTREAM`.
"""

from __future__ import annotations

import asyncio
import http.client
import os
import sys

MOST_AT_ONCE = 12
_PLAIN_SECONDS = 0.05
_LIMITED_SECONDS = 0.025
_SLOWING_SECONDS = 0.01
_SLOWING = 0.01
_BACKLOG = 4096


def ask(path: str) -> int:
    """Return the status of the upstream's answer."""
    connection = http.client.HTTPConnection("127.0.0.1", int(os.environ["STABLEHAND_BENCH_UPSTREAM"]), timeout=30)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
        return answer.status
    finally:
        connection.close()


class Upstream:
    """Counts who is present."""

    def __init__(self) -> None:
        self._present = 0

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer a connection's only request."""
        head = await reader.readuntil(b"\r\n\r\n")
        status = await self.status(head.split()[1].decode())
        writer.write(b"HTTP/1.1 %d \r\nContent-Length: 0\r\nConnection: close\r\n\r\n" % status)
        writer.close()

    async def status(self, path: str) -> int:
        """Do what a path says, and return the status."""
        if path == "/limited" and self._present >= MOST_AT_ONCE:
            return 429
        self._present += 1
        try:
            await asyncio.sleep(self._seconds(path))
        finally:
            self._present -= 1
        return 200

    def _seconds(self, path: str) -> float:
        if path == "/slowing":
            return _SLOWING_SECONDS * (1 + _SLOWING * self._present * (self._present - 1))
        return {"/plain": _PLAIN_SECONDS, "/limited": _LIMITED_SECONDS}.get(path, 0.0)


async def _main() -> None:
    server = await asyncio.start_server(Upstream().answer, "127.0.0.1", int(sys.argv[1]), backlog=_BACKLOG)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_main())
