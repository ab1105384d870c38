"""Requests that take until a file appears: an event stream, a long poll, a websocket; and a large download."""

import base64
import hashlib
import time
from pathlib import Path

_FINISH = Path("finish")  # in the server's working directory
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # of RFC 6455
_MEBIBYTE = b"0123456789abcdef" * 65536


def app(environ, start_response):
    """Serve what the path names."""
    match environ["PATH_INFO"]:
        case "/events":
            start_response("200 OK", [("Content-Type", "text/event-stream")])
            return _events()
        case "/download":
            start_response("200 OK", [("Content-Length", str(100 * len(_MEBIBYTE)))])
            return (_MEBIBYTE for _ in range(100))
        case "/ws":
            _echo(environ["gunicorn.socket"], environ["HTTP_SEC_WEBSOCKET_KEY"].encode())
            raise StopIteration  # as flask-sock tells gunicorn that the connection is not its any more
        case "/poll":
            while not _FINISH.exists():
                time.sleep(0.05)
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]


def _events():
    while not _FINISH.exists():
        yield b"data: here\n\n"
        time.sleep(0.2)
    yield b"data: end\n\n"


def _echo(client, key):
    accept = base64.b64encode(hashlib.sha1(key + _GUID).digest())  # noqa: S324 (as the RFC has it)
    client.setblocking(True)
    client.sendall(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
    )
    while head := _exactly(client, 6):
        length, mask = head[1] & 0x7F, head[2:]
        text = bytes(byte ^ mask[place % 4] for place, byte in enumerate(_exactly(client, length)))
        client.sendall(bytes([head[0], length]) + text)


def _exactly(client, size):
    received = b""
    while len(received) < size:
        part = client.recv(size - len(received))
        if not part:
            return b""
        received += part
    return received
