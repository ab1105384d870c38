"""The same as `lasting`, as an application of Tornado's own."""

import asyncio
from pathlib import Path

from tornado import web, websocket

_FINISH = Path("finish")  # in the server's working directory
_MEBIBYTE = b"0123456789abcdef" * 65536


class _Index(web.RequestHandler):
    def get(self):
        self.write("ok")


class _Events(web.RequestHandler):
    async def get(self):
        while not _FINISH.exists():  # noqa: ASYNC240 (a look, which takes microseconds)
            self.write("data: here\n\n")
            await self.flush()
            await asyncio.sleep(0.2)
        self.write("data: end\n\n")


class _Poll(web.RequestHandler):
    async def get(self):
        while not _FINISH.exists():  # noqa: ASYNC110, ASYNC240 (a file has no event)
            await asyncio.sleep(0.05)
        self.write("ok")


class _Download(web.RequestHandler):
    async def get(self):
        self.set_header("Content-Length", str(100 * len(_MEBIBYTE)))
        for _ in range(100):
            self.write(_MEBIBYTE)
            await self.flush()


class _Echo(websocket.WebSocketHandler):
    def on_message(self, message):
        self.write_message(message)


app = web.Application([("/", _Index), ("/events", _Events), ("/poll", _Poll), ("/download", _Download), ("/ws", _Echo)])
