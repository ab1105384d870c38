"""The ASGI app of the cases, with the paths of wsgi_app as far as they make sense here."""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from pathlib import Path

LONGEST_SHOWN = 40
SCOPE = ("type", "http_version", "method", "scheme", "path", "raw_path", "query_string", "root_path", "headers", "asgi")
HEADERS = [(b"content-type", b"text/plain"), (b"x-app", b"1")]


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
    elif scope["type"] == "websocket":
        await websocket(scope, receive, send)
    else:
        action = ACTIONS.get(scope["path"].split("/")[1] if "/" in scope["path"] else "", echo)
        await action(scope, receive, send)


async def lifespan(receive, send):
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            note("lifespan")
            return


def note(name):
    with Path(name).open("a") as file:
        file.write(f"{name} {os.getpid()}\n")


async def answer(send, body, status=200, *headers):
    length = (b"content-length", str(len(body)).encode())
    await start(send, status, length, *headers)
    await send({"type": "http.response.body", "body": body})


async def start(send, status=200, *headers):
    await send({"type": "http.response.start", "status": status, "headers": [*HEADERS, *headers]})


async def part(send, body, more=True):
    await send({"type": "http.response.body", "body": body, "more_body": more})


async def read(receive):
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ConnectionError("the client has gone")
        body += message.get("body", b"")
        if not message.get("more_body"):
            return body


def shown(body):
    return repr(body) if len(body) <= LONGEST_SHOWN else f"{len(body)} bytes {hashlib.sha256(body).hexdigest()[:6]}"


def number(scope):
    query = scope["query_string"].split(b"&")[0]
    return float(query) if query else 0.0


async def echo(scope, receive, send):
    headers = sorted((name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"])
    told = [f"{name.replace('_', '-')}={value}" for name, value in headers if name.startswith("x")]
    body = await read(receive)
    text = f"{scope['method']} {scope['path']}"
    text += f"?{scope['query_string'].decode('latin-1')}" if scope["query_string"] else ""
    text += f" {shown(body)}" if body else ""
    await answer(send, " ".join([text, *told]).encode("utf-8", "surrogateescape"))


async def unread(scope, receive, send):
    await answer(send, b"unread")


async def partly(scope, receive, send):
    message = await receive()
    await answer(send, shown(message["body"][:3]).encode())


async def early(scope, receive, send):
    await start(send, 200, (b"content-length", b"5"))
    await part(send, b"early", more=False)
    Path("read-early").write_text(str(len(await read(receive))))


async def wait(scope, receive, send):
    await asyncio.sleep(number(scope))
    await answer(send, b"waited")


async def block(scope, receive, send):
    """Hold the event loop."""
    body = await read(receive)
    time.sleep(number(scope))
    await asyncio.sleep(0)
    await answer(send, b"blocked " + body)


async def hold(scope, receive, send):
    """Hold the event loop."""
    time.sleep(number(scope))
    await answer(send, b"held")


async def peer(scope, receive, send):
    client = scope["client"][0] if scope["client"] else ""
    await answer(send, f"{client} {scope['scheme']} {scope['root_path']}{scope['path']}".encode())


async def poll(scope, receive, send):
    await asyncio.sleep(number(scope))
    await answer(send, b"polled")


async def events(scope, receive, send):
    await start(send, 200, (b"content-type", b"text/event-stream"))
    await part(send, b"data: first\n\n")
    await asyncio.sleep(number(scope))
    await part(send, b"data: last\n\n", more=False)


async def download(scope, receive, send):
    pieces, pause, size = (float(each) for each in scope["query_string"].split(b"&"))
    await start(send, 200, (b"content-length", str(int(pieces * size)).encode()))
    for _ in range(int(pieces)):
        await part(send, b"x" * int(size))
        await asyncio.sleep(pause)
    await part(send, b"", more=False)


async def big(scope, receive, send):
    await answer(send, b"x" * int(number(scope)))


async def chunks(scope, receive, send):
    await start(send)
    for each in (b"one ", b"", b"two ", b"three"):
        await part(send, each)
    await part(send, b"", more=False)


async def closing(scope, receive, send):
    name = scope["query_string"].decode()
    try:
        await start(send)
        await part(send, b"one")
        if name.endswith("raise"):
            raise ValueError("as the case asked for")
        await part(send, b"", more=False)
    finally:
        with Path(name).open("a") as file:
            file.write("closed\n")


async def endless(scope, receive, send):
    """Send until the client has gone."""
    name = scope["query_string"].decode()
    try:
        await start(send)
        while True:
            await part(send, b"x" * 1000)
            await asyncio.sleep(0.02)
    finally:
        Path(name).write_text("closed\n")


async def raising(scope, receive, send):
    if scope["query_string"] == b"after":
        await start(send)
    raise ValueError("as the case asked for")


async def raising_midway(scope, receive, send):
    await start(send, 200, *([(b"content-length", b"100")] if scope["query_string"] == b"length" else []))
    await part(send, b"part")
    raise ValueError("as the case asked for")


async def exiting(scope, receive, send):
    raise SystemExit(3)


async def start_twice(scope, receive, send):
    await start(send)
    await start(send, 201)
    await part(send, b"twice", more=False)


async def too_long(scope, receive, send):
    await start(send, 200, (b"content-length", b"3"))
    await part(send, b"abc")
    await part(send, b"defgh", more=False)


async def too_short(scope, receive, send):
    await start(send, 200, (b"content-length", b"10"))
    await part(send, b"abc", more=False)


async def no_content(scope, receive, send):
    await send({"type": "http.response.start", "status": 204, "headers": [(b"x-app", b"1")]})
    await part(send, b"", more=False)


async def no_content_with_body(scope, receive, send):
    await send({"type": "http.response.start", "status": 204, "headers": [(b"x-app", b"1")]})
    await part(send, b"a body", more=False)


async def not_modified(scope, receive, send):
    await send({"type": "http.response.start", "status": 304, "headers": [(b"x-app", b"1"), (b"etag", b'"a"')]})
    await part(send, b"", more=False)


async def sized(scope, receive, send):
    await start(send, 200, (b"content-length", b"5"))
    await part(send, b"" if scope["method"] == "HEAD" else b"12345", more=False)


async def injecting(scope, receive, send):
    await answer(send, b"x", 200, (b"x-a", b"a\r\nX-Injected: 1"))


async def text(scope, receive, send):
    await start(send)
    await send({"type": "http.response.body", "body": "text"})


async def unstarted(scope, receive, send):
    await part(send, b"x", more=False)


async def silent(scope, receive, send):
    """Return without an answer."""


async def hop_by_hop(scope, receive, send):
    await answer(send, b"ok", 200, (b"connection", b"close"))


async def scope_shown(scope, receive, send):
    """Show what frameworks build their request from."""
    told = [f"{name}={scope.get(name)!r}" for name in SCOPE]
    told += [f"client={scope['client'] and scope['client'][0]!r}", f"keys={sorted(scope)}"]
    await answer(send, " ".join(told).encode("utf-8", "surrogateescape"))


async def process(scope, receive, send):
    await answer(send, str(os.getpid()).encode())


async def owner(scope, receive, send):
    told = f"{os.getuid()}:{os.getgid()} groups {sorted(os.getgroups())} umask {os.umask(0o22):o}"
    await answer(send, told.encode())


async def websocket(scope, receive, send):
    await receive()
    if scope["path"] == "/ws/refused":
        await send({"type": "websocket.close", "code": 1008})
        return
    await send({"type": "websocket.accept"})
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            return
        echoed = {name: message[name] for name in ("bytes", "text") if message.get(name) is not None}
        await send({"type": "websocket.send", **echoed})


ACTIONS = {
    name.replace("_", "-"): action
    for name, action in {
        "unread": unread,
        "partly": partly,
        "early": early,
        "wait": wait,
        "block": block,
        "hold": hold,
        "peer": peer,
        "poll": poll,
        "events": events,
        "download": download,
        "big": big,
        "chunks": chunks,
        "closing": closing,
        "endless": endless,
        "raising": raising,
        "raising_midway": raising_midway,
        "exiting": exiting,
        "start_twice": start_twice,
        "too_long": too_long,
        "too_short": too_short,
        "no_content": no_content,
        "no_content_with_body": no_content_with_body,
        "not_modified": not_modified,
        "sized": sized,
        "injecting": injecting,
        "text": text,
        "unstarted": unstarted,
        "silent": silent,
        "hop_by_hop": hop_by_hop,
        "environ": scope_shown,
        "process": process,
        "owner": owner,
    }.items()
}
