"""The ASGI app of the integration tests: does what the query says, and fails to boot as a file says."""

import asyncio
import os
from pathlib import Path

_FAULT = Path("boot-fault")  # in the server's working directory
_inside = {"now": 0, "most": 0}


async def app(scope, receive, send):
    """Wait for the query's seconds, 20 ms by default, and say which process answers."""
    if scope["type"] == "lifespan":
        await _live(scope, receive, send)
    elif scope["type"] == "websocket":
        await _echo(receive, send)
    elif scope["path"] == "/most":
        await _answer(send, str(_inside["most"]))
    elif scope["path"] == "/state":
        await _answer(send, scope["state"]["greeting"])
    elif scope["path"] == "/fail":
        raise LookupError("as the test asked for")
    else:
        _inside["now"] += 1
        _inside["most"] = max(_inside["most"], _inside["now"])
        try:
            await asyncio.sleep(float(scope["query_string"] or 0.02))
        finally:
            _inside["now"] -= 1
        await _answer(send, str(os.getpid()))


async def _live(scope, receive, send):
    await receive()
    if _FAULT.exists():  # noqa: ASYNC240 (before anything is served)
        await send({"type": "lifespan.startup.failed", "message": _FAULT.read_text()})  # noqa: ASYNC240 (as above)
        return
    scope["state"]["greeting"] = "set in the lifespan"
    await send({"type": "lifespan.startup.complete"})
    await receive()
    Path("lifespan-ended").touch()  # noqa: ASYNC240 (nothing is served any more)
    await send({"type": "lifespan.shutdown.complete"})


async def _echo(receive, send):
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message["text"]})


async def _answer(send, content):
    body = content.encode()
    headers = [(b"content-type", b"text/plain"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
