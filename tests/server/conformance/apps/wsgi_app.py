"""The WSGI app of the cases: its path says what it does, its query with which numbers."""

from __future__ import annotations

import base64
import hashlib
import os
import signal
import sys
import threading
import time
from pathlib import Path

LONGEST_SHOWN = 40
HEADERS = [("Content-Type", "text/plain"), ("X-App", "1")]


def app(environ, start_response):
    path = environ["PATH_INFO"]
    action = ACTIONS.get(path.split("/")[1] if "/" in path else "", echo)
    return action(environ, start_response)


def answer(start_response, body, status="200 OK", *headers):
    start_response(status, [*HEADERS, ("Content-Length", str(len(body))), *headers])
    return [body]


def shown(body):
    return repr(body) if len(body) <= LONGEST_SHOWN else f"{len(body)} bytes {hashlib.sha256(body).hexdigest()[:6]}"


def number(environ, otherwise=0.0):
    query = environ["QUERY_STRING"].split("&")[0]
    return float(query) if query else otherwise


def echo(environ, start_response):
    told = [
        f"{name[5:].replace('_', '-').lower()}={value}"
        for name, value in sorted(environ.items())
        if name.startswith("HTTP_X")
    ]
    body = environ["wsgi.input"].read()
    text = f"{environ['REQUEST_METHOD']} {environ['SCRIPT_NAME']}{environ['PATH_INFO']}"
    text += f"?{environ['QUERY_STRING']}" if environ["QUERY_STRING"] else ""
    text += f" {shown(body)}" if body else ""
    return answer(start_response, " ".join([text, *told]).encode("utf-8", "surrogateescape"))


def unread(environ, start_response):
    return answer(start_response, b"unread")


def partly(environ, start_response):
    return answer(start_response, shown(environ["wsgi.input"].read(3)).encode())


def early(environ, start_response):
    """Answer in full before the body is read, then read it."""
    start_response("200 OK", [*HEADERS, ("Content-Length", "5")])
    yield b"early"
    Path("read-early").write_text(str(len(environ["wsgi.input"].read())))


def lines(environ, start_response):
    stream = environ["wsgi.input"]
    told = [
        stream.readline(),
        stream.readline(3),
        stream.readline(),
        stream.readlines(),
        stream.read(),
        stream.readline(),
    ]
    return answer(start_response, repr(told).encode())


def iterated(environ, start_response):
    return answer(start_response, repr(list(environ["wsgi.input"])).encode())


def nothing_there(environ, start_response):
    stream = environ["wsgi.input"]
    told = [stream.read(0), stream.readline(0), stream.read(-1), stream.read(), stream.readlines(), list(stream)]
    return answer(start_response, repr(told).encode())


def wait(environ, start_response):
    time.sleep(number(environ))
    return answer(start_response, b"waited")


def hold(environ, start_response):
    """Hold the thread, and with it all greenlets: no library that makes waiting cooperative knows of this."""
    signal.sigtimedwait([signal.SIGRTMIN], number(environ))
    return answer(start_response, b"held")


def peer(environ, start_response):
    told = f"{environ['REMOTE_ADDR']} {environ['wsgi.url_scheme']} {environ['SCRIPT_NAME']}{environ['PATH_INFO']}"
    return answer(start_response, told.encode())


def poll(environ, start_response):
    """Wait for something that happens to the process, not by a sleep: an event."""
    threading.Event().wait(number(environ))
    return answer(start_response, b"polled")


def events(environ, start_response):
    """An event stream: a word at once, another one after a silence."""
    start_response("200 OK", [("Content-Type", "text/event-stream"), ("X-App", "1")])
    yield b"data: first\n\n"
    threading.Event().wait(number(environ))
    yield b"data: last\n\n"


def download(environ, start_response):
    """So many pieces, with a pause after each: `?pieces&seconds&bytes`."""
    pieces, pause, size = (float(each) for each in environ["QUERY_STRING"].split("&"))
    start_response("200 OK", [*HEADERS, ("Content-Length", str(int(pieces * size)))])
    for _ in range(int(pieces)):
        yield b"x" * int(size)
        time.sleep(pause)


def big(environ, start_response):
    return answer(start_response, b"x" * int(number(environ)))


def chunks(environ, start_response):
    start_response("200 OK", [*HEADERS])
    return iter([b"one ", b"", b"two ", b"three"])


class Closing:
    """An iterable that leaves a file when it is closed."""

    def __init__(self, name, items):
        self.name, self.items = name, items

    def __iter__(self):
        yield from self.items()

    def close(self):
        with Path(self.name).open("a") as file:
            file.write("closed\n")


def closing(environ, start_response):
    name = environ["QUERY_STRING"]
    start_response("200 OK", [*HEADERS])

    def items():
        yield b"one"
        if name.endswith("raise"):
            raise ValueError("as the case asked for")

    return Closing(name, items)


def endless(environ, start_response):
    start_response("200 OK", [*HEADERS])

    def items():
        while True:
            yield b"x" * 1000
            time.sleep(0.02)

    return Closing(environ["QUERY_STRING"], items)


def raising(environ, start_response):
    if environ["QUERY_STRING"] == "before":
        raise ValueError("as the case asked for")
    start_response("200 OK", [*HEADERS])
    raise ValueError("as the case asked for")


def raising_midway(environ, start_response):
    headers = [*HEADERS, ("Content-Length", "100")] if environ["QUERY_STRING"] == "length" else [*HEADERS]
    start_response("200 OK", headers)
    yield b"part"
    raise ValueError("as the case asked for")


def exiting(environ, start_response):
    raise SystemExit(3)


def exc_info(environ, start_response):
    """An error page in place of the response, before or after its headers have gone."""
    if environ["QUERY_STRING"] == "late":
        start_response("200 OK", [*HEADERS])(b"part")
    else:
        start_response("200 OK", [*HEADERS])
    try:
        raise ValueError("as the case asked for")
    except ValueError:
        start_response("500 Replaced", [*HEADERS, ("X-Replaced", "1")], sys.exc_info())
    return [b"replaced"]


def start_twice(environ, start_response):
    start_response("200 OK", [*HEADERS])
    start_response("201 Created", [*HEADERS])
    return [b"twice"]


def writing(environ, start_response):
    write = start_response("200 OK", [*HEADERS])
    write(b"one ")
    write(b"two ")
    return [b"three"]


def too_long(environ, start_response):
    start_response("200 OK", [*HEADERS, ("Content-Length", "3")])
    return [b"abc", b"defgh"]


def too_short(environ, start_response):
    start_response("200 OK", [*HEADERS, ("Content-Length", "10")])
    return [b"abc"]


def no_content(environ, start_response):
    start_response("204 No Content", [("X-App", "1")])
    return [b""]


def no_content_with_body(environ, start_response):
    start_response("204 No Content", [("X-App", "1")])
    return [b"a body"]


def not_modified(environ, start_response):
    start_response("304 Not Modified", [("X-App", "1"), ("ETag", '"a"')])
    return []


def sized(environ, start_response):
    """A body of a known length to GET, the same header without it to HEAD."""
    body = b"" if environ["REQUEST_METHOD"] == "HEAD" else b"12345"
    start_response("200 OK", [*HEADERS, ("Content-Length", "5")])
    return [body]


def injecting(environ, start_response):
    start_response("200 OK", [*HEADERS, ("X-A", "a\r\nX-Injected: 1")])
    return [b"x"]


def none(environ, start_response):
    return None


def text(environ, start_response):
    start_response("200 OK", [*HEADERS])
    return ["text"]


def unstarted(environ, start_response):
    return [b"x"]


def hop_by_hop(environ, start_response):
    start_response("200 OK", [*HEADERS, ("Connection", "close"), ("Content-Length", "2")])
    return [b"ok"]


def file(environ, start_response):
    """A file by the server's own wrapper, from its sixth byte on."""
    path = Path(f"file-{threading.get_ident()}-{os.getpid()}")
    path.write_bytes(b"0123456789" * 1000)
    opened = path.open("rb")
    opened.seek(5)
    start_response("200 OK", [*HEADERS])
    return environ["wsgi.file_wrapper"](opened, 512)


def early_hints(environ, start_response):
    environ["wsgi.early_hints"]([("Link", "</a.css>; rel=preload")])
    return answer(start_response, b"hinted")


SHOWN = [
    "REQUEST_METHOD",
    "SCRIPT_NAME",
    "PATH_INFO",
    "QUERY_STRING",
    "RAW_URI",
    "SERVER_PROTOCOL",
    "CONTENT_TYPE",
    "CONTENT_LENGTH",
    "HTTP_HOST",
    "REMOTE_ADDR",
    "wsgi.url_scheme",
    "wsgi.version",
    "wsgi.run_once",
    "wsgi.input_terminated",
    "HTTP_X_FORWARDED_FOR",
    "HTTP_COOKIE",
    "HTTP_TRANSFER_ENCODING",
    "HTTP_EXPECT",
    "HTTP_X_DOUBLE",
    "HTTPS",
    "REMOTE_USER",
    "HTTP_CONNECTION",
    "HTTP_SCRIPT_NAME",
]


def environ_shown(environ, start_response):
    """Show what frameworks build their request from."""
    told = [f"{name}={environ[name]!r}" for name in SHOWN if name in environ]
    return answer(start_response, " ".join(told).encode("utf-8", "surrogateescape"))


def environ_names(environ, start_response):
    """Show which keys there are, and whether the connection can be taken over."""
    usable = hasattr(environ.get("gunicorn.socket"), "sendall")
    told = sorted(name for name in environ if name.isupper() or "." in name)
    return answer(start_response, " ".join([*told, f"usable={usable}"]).encode())


def process(environ, start_response):
    return answer(start_response, str(os.getpid()).encode())


def owner(environ, start_response):
    told = f"{os.getuid()}:{os.getgid()} groups {sorted(os.getgroups())} umask {os.umask(0o22):o}"
    return answer(start_response, told.encode())


def websocket(environ, start_response):
    """Take the socket over, as flask-sock does, and echo frames until the client's close frame."""
    client = environ.get("gunicorn.socket")
    if client is None:
        return answer(start_response, b"no socket", "501 Not Implemented")
    key = environ["HTTP_SEC_WEBSOCKET_KEY"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    accept = base64.b64encode(hashlib.sha1(key.encode(), usedforsecurity=False).digest()).decode()
    head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade"
    head += f"\r\nSec-WebSocket-Accept: {accept}"
    client.sendall(f"{head}\r\n\r\n".encode())
    while True:
        opcode, payload = read_frame(client)
        client.sendall(bytes([0x80 | opcode, len(payload)]) + payload)
        if opcode == 8:
            raise StopIteration


def read_frame(client):
    first, second = receive(client, 2)
    mask, payload = receive(client, 4), receive(client, second & 0x7F)
    return first & 0xF, bytes(byte ^ mask[place % 4] for place, byte in enumerate(payload))


def receive(client, size):
    received = b""
    while len(received) < size:
        more = client.recv(size - len(received))
        if not more:
            raise StopIteration
        received += more
    return received


ACTIONS = {
    name.replace("_", "-"): action
    for name, action in {
        "unread": unread,
        "partly": partly,
        "early": early,
        "lines": lines,
        "iterated": iterated,
        "nothing_there": nothing_there,
        "wait": wait,
        "block": wait,
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
        "exc_info": exc_info,
        "start_twice": start_twice,
        "writing": writing,
        "too_long": too_long,
        "too_short": too_short,
        "no_content": no_content,
        "no_content_with_body": no_content_with_body,
        "not_modified": not_modified,
        "sized": sized,
        "injecting": injecting,
        "none": none,
        "text": text,
        "unstarted": unstarted,
        "hop_by_hop": hop_by_hop,
        "file": file,
        "early_hints": early_hints,
        "environ": environ_shown,
        "environ_names": environ_names,
        "process": process,
        "owner": owner,
        "ws": websocket,
    }.items()
}
