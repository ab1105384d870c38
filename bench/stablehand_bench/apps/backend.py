"""A slow backend with a small pool, such as a database: 10 requests at a time, 50 ms each; the others wait.

Argument: its port. It speaks as much HTTP as it needs: `GET /work` is answered when the work is done, `GET /peak` with
the largest number of requests that were present at once, served or waiting, since it was last asked for, and `GET /` at
once.
"""

from __future__ import annotations

import asyncio
import sys

POOL = 10
WORK_SECONDS = 0.05
_BACKLOG = 4096


class Backend:
    """Counts the requests, and serves so many at a time."""

    def __init__(self) -> None:
        self._pool = asyncio.Semaphore(POOL)
        self._present = 0
        self._peak = 0

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer a connection's only request."""
        head = await reader.readuntil(b"\r\n\r\n")
        path = head.split()[1]
        if path == b"/work":
            await self._work()
        said = b""
        if path == b"/peak":
            said = b"%d" % self._peak
            self._peak = self._present
        writer.write(b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(said), said))
        writer.close()

    async def _work(self) -> None:
        self._present += 1
        self._peak = max(self._peak, self._present)
        try:
            async with self._pool:
                await asyncio.sleep(WORK_SECONDS)
        finally:
            self._present -= 1


async def main() -> None:
    """Serve until the process is ended."""
    server = await asyncio.start_server(Backend().answer, "127.0.0.1", int(sys.argv[1]), backlog=_BACKLOG)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
