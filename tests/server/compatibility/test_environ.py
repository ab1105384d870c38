"""The same requests under gunicorn's command and under ours: the whole environ is the same, class by class."""

from __future__ import annotations

import contextlib
import json
import socket

import pytest

pytestmark = pytest.mark.integration

APP = """
import json

def app(environ, start_response):
    shown = {key: value if isinstance(value, (str, bool, int)) else type(value).__name__
             for key, value in environ.items() if key != "gunicorn.socket"}
    client = environ.get("gunicorn.socket")
    shown["has a socket"] = client is not None and client.fileno() >= 0
    shown["the body"] = environ["wsgi.input"].read().decode()
    shown["scheme and wrapper"] = [environ["wsgi.url_scheme"], environ.get("wsgi.file_wrapper") is not None]
    body = json.dumps(shown).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""


def request(line, *headers, body=b""):
    """Return the bytes of a request that closes its connection."""
    return b"\r\n".join([line, *headers, b"Connection: close", b"", body])


HOST = b"Host: shop.example.com:8080"
REQUESTS = {
    "latin path": request(b"GET /caf%E9%20x%2Fy HTTP/1.1", HOST),
    "raw bytes": request(b"GET /caf\xe9?q=\xe9 HTTP/1.1", HOST),
    "double slash": request(b"GET //shop//x?a=%2F&&b HTTP/1.1", HOST),
    "empty query": request(b"GET /? HTTP/1.1", HOST),
    "absolute": request(b"GET http://other.example/abs?q HTTP/1.1", HOST),
    "star": request(b"OPTIONS * HTTP/1.1", HOST),
    "no host, 1.0": request(b"GET /old HTTP/1.0"),
    "forwarded": request(b"GET / HTTP/1.1", HOST, b"X-Forwarded-For: 198.51.100.7", b"X-Forwarded-Proto: https"),
    "forwarded http": request(b"GET / HTTP/1.1", HOST, b"X-Forwarded-Proto: http", b"X-Forwarded-Host: other"),
    "underscores": request(b"GET / HTTP/1.1", HOST, b"X_Forwarded_For: 192.0.2.1", b"X-Forwarded-For: 198.51.100.7"),
    "script name": request(b"GET /shop/x HTTP/1.1", HOST, b"SCRIPT_NAME: /shop"),
    "duplicates": request(b"GET / HTTP/1.1", HOST, b"X-Two: 1", b"X-Two: 2", b"Cookie: a=1", b"Cookie: b=2"),
    "body": request(b"POST / HTTP/1.1", HOST, b"Content-Type: text/plain", b"Content-Length: 5", body=b"hello"),
    "chunked": request(b"POST / HTTP/1.1", HOST, b"Transfer-Encoding: chunked", body=b"5\r\nhello\r\n0\r\n\r\n"),
    "expect": request(b"POST / HTTP/1.1", HOST, b"Expect: 100-continue", b"Content-Length: 5", body=b"hello"),
    "upper method": request(b"PROPFIND /x HTTP/1.1", HOST),
}
PROXY_V2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c"
PROXY_V2 += socket.inet_aton("203.0.113.9") + socket.inet_aton("10.0.0.1") + (5555).to_bytes(2, "big") + b"\x00\x50"
PROXIED = {
    "v1": b"PROXY TCP4 203.0.113.9 10.0.0.1 5555 80\r\n" + REQUESTS["body"],
    "v1 of version 6": b"PROXY TCP6 2001:db8::1 2001:db8::2 5555 80\r\n" + REQUESTS["latin path"],
    "v2": PROXY_V2 + REQUESTS["body"],
}
# What differs from one connection, one server or one of gunicorn's classes to the other.
OF_THE_CONNECTION = {"REMOTE_PORT", "SERVER_PORT", "wsgi.multithread"}
# Tornado has read the body: it knows its length however it came, and has no way to send hints, nor a socket to give.
OF_TORNADO = {"wsgi.input", "wsgi.early_hints", "HTTP_EXPECT", "has a socket"}


def asked(program, requests, family=socket.AF_INET):
    """Return what the app saw of each request, or the first line of the answer where the app saw nothing."""
    seen = {}
    for name, data in requests.items():
        with contextlib.closing(socket.socket(family)) as client:
            client.settimeout(20)
            client.connect(_address(program, family))
            client.sendall(data)
            answer = b""
            while part := client.recv(65536):
                answer += part
        head, _, body = answer.partition(b"\r\n\r\n")
        if head.startswith(b"HTTP/1.1 100"):
            head, _, body = body.partition(b"\r\n\r\n")
        line = head.split(b"\r\n")[0]
        seen[name] = json.loads(body) if line.endswith(b"200 OK") else line.split(b" ")[:2]
        if isinstance(seen[name], dict):
            seen[name] = {key: value for key, value in seen[name].items() if key not in OF_THE_CONNECTION}
    return seen


@pytest.fixture
def see(run, commands, until):
    """Return what an app sees of requests under one of the two commands."""

    def seen(name, worker_class, requests, *flags, family=socket.AF_INET):
        bind = "unix:socket" if family == socket.AF_UNIX else None
        program = run(
            *("--worker-class", worker_class, *flags), command=commands[name], files={"hello.py": APP}, bind=bind
        )
        until(lambda: _listens(program, family))
        found = asked(program, requests, family)
        program.end()
        return found

    return seen


def _listens(program, family):
    with contextlib.suppress(OSError), socket.socket(family) as client:
        client.settimeout(5)
        client.connect(_address(program, family))
        return True
    return False


def _address(program, family):
    return str(program.directory / "socket") if family == socket.AF_UNIX else ("127.0.0.1", program.port)


@pytest.mark.parametrize("worker_class", ["sync", "gthread", "gevent"])
@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_UNIX], ids=["tcp", "unix"])
def test_the_app_sees_what_it_sees_under_gunicorn(see, worker_class, family):
    theirs = see("gunicorn", worker_class, REQUESTS, family=family)

    assert see("stablehand-server", worker_class, REQUESTS, family=family) == theirs
    assert isinstance(theirs["latin path"], dict)


@pytest.mark.parametrize("worker_class", ["sync", "gthread", "gevent"])
def test_the_proxy_protocol_names_the_client_as_under_gunicorn(see, worker_class):
    theirs = see("gunicorn", worker_class, PROXIED, "--proxy-protocol", "auto")

    assert see("stablehand-server", worker_class, PROXIED, "--proxy-protocol", "auto") == theirs
    assert theirs["v1"]["REMOTE_ADDR"] == theirs["v2"]["REMOTE_ADDR"] == "203.0.113.9"


@pytest.mark.parametrize("worker_class", ["eventlet", "tornado"])
def test_a_class_that_a_switch_may_reach_sees_what_gunicorns_sync_sees(see, worker_class):
    # Tornado lets bytes pass in a path that gunicorn refuses.
    requests = {name: each for name, each in REQUESTS.items() if name != "raw bytes"}
    theirs = see("gunicorn", "sync", requests)
    ours = see("stablehand-server", worker_class, requests)

    def compared(each):
        without = OF_TORNADO | {"CONTENT_LENGTH"} if worker_class == "tornado" else set()
        return {key: value for key, value in each.items() if key not in without} if isinstance(each, dict) else each

    assert {name: compared(each) for name, each in ours.items()} == {
        name: compared(each) for name, each in theirs.items()
    }
    assert ours["body"]["has a socket"] is (worker_class != "tornado"), "as under gunicorn's own class"


def test_a_prefix_of_the_environment_is_taken_from_the_path_under_every_class(see):
    prefixed = {"script name": request(b"GET /shop/x HTTP/1.1", HOST), "outside": request(b"GET /x HTTP/1.1", HOST)}
    flags = ("--env", "SCRIPT_NAME=/shop")
    theirs = see("gunicorn", "sync", prefixed, *flags)
    assert (theirs["script name"]["SCRIPT_NAME"], theirs["script name"]["PATH_INFO"]) == ("/shop", "/x")
    for worker_class in ("gthread", "gevent", "eventlet", "tornado"):
        ours = see("stablehand-server", worker_class, prefixed, *flags)
        assert ours["outside"] == theirs["outside"], worker_class
        assert ours["script name"]["PATH_INFO"] == "/x", worker_class
