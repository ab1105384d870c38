"""The same as `lasting`, as an ASGI app."""

import asyncio
from pathlib import Path

_FINISH = Path("finish")  # in the server's working directory
_MEBIBYTE = b"0123456789abcdef" * 65536


async def app(scope, receive, send):
    """Serve what the path names."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": message["text"]})
        return
    if scope["type"] != "http":
        return
    path = scope["path"]
    length = {"/events": None, "/download": 100 * len(_MEBIBYTE)}.get(path, 2)
    headers = [] if length is None else [(b"content-length", str(length).encode())]
    if path == "/poll":
        await _finished()
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    if path == "/events":
        while not _FINISH.exists():  # noqa: ASYNC240 (a look, which takes microseconds)
            await send({"type": "http.response.body", "body": b"data: here\n\n", "more_body": True})
            await asyncio.sleep(0.2)
    if path == "/download":
        for _ in range(99):
            await send({"type": "http.response.body", "body": _MEBIBYTE, "more_body": True})
    last = {"/events": b"data: end\n\n", "/download": _MEBIBYTE}.get(path, b"ok")
    await send({"type": "http.response.body", "body": last})


async def _finished():
    while not _FINISH.exists():  # noqa: ASYNC110, ASYNC240 (a file has no event)
        await asyncio.sleep(0.05)
