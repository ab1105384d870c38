"""A WSGI app under our asgi class sees and does what it sees and does under gunicorn's gthread: byte for byte."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
import time

import pytest

pytestmark = pytest.mark.integration

APP = r'''
import errno, io, ssl, sys
from urllib.parse import parse_qs

closed = []

def shown(value):
    if isinstance(value, (str, int, bool, tuple, type(None))):
        return repr(value)
    if isinstance(value, type):
        return value.__qualname__
    return "callable" if callable(value) else "object"

def environ_of(environ):
    lines = []
    for key in sorted(environ):
        value = environ[key]
        if key == "REMOTE_PORT":
            value = value.isdigit()
        elif key == "gunicorn.socket":
            value = value.getpeername()[0]
        lines.append(f"{key}={type(environ[key]).__name__ if key == 'wsgi.input' else shown(value)}")
    return "\n".join(lines)

def body_of(stream, operations):
    done = []
    for operation in operations.split(","):
        name, _, argument = operation.partition(":")
        arguments = [int(argument)] if argument else []
        try:
            done.append(list(stream) if name == "iterate" else getattr(stream, name)(*arguments))
        except Exception as error:
            done.append(type(error).__name__)
    return repr(done)

FAULTS = {
    "its-own-tls": ssl.SSLError(ssl.SSL_ERROR_SSL, "certificate verify failed"),
    "its-own-tls-ends": ssl.SSLError(ssl.SSL_ERROR_EOF, "EOF occurred"),
    "its-own-disk": OSError(errno.ENOSPC, "No space left on device"),
    "its-own-peer": BrokenPipeError(errno.EPIPE, "Broken pipe"),
    "its-own-wait": TimeoutError("timed out"),
}

class Parts:
    """An iterable whose close is noted."""
    def __init__(self, *parts, raises=None):
        self._parts, self._raises = parts, raises
    def __iter__(self):
        yield from self._parts
        if self._raises:
            raise self._raises
    def close(self):
        closed.append(len(closed))

def raise_it(error):
    try:
        raise error
    except Exception:
        return sys.exc_info()

def respond(kind, environ, start_response):
    plain = [("Content-Type", "text/plain")]
    if kind == "write":
        write = start_response("200 OK", plain)
        write(b"written ")
        write(b"twice ")
        return Parts(b"returned")
    if kind == "replaced":
        start_response("200 OK", [("X-First", "1")])
        start_response("500 Replaced", [("X-Second", "2")], raise_it(ValueError()))
        return [b"replaced"]
    if kind == "too-late":
        write = start_response("200 OK", plain)
        write(b"sent")
        start_response("500 Too Late", plain, raise_it(ValueError("too late")))
        return [b"never"]
    if kind == "twice":
        start_response("200 OK", plain)
        start_response("200 OK", plain)
        return [b""]
    if kind == "long":
        start_response("200 OK", [("Content-Length", "4")])
        return Parts(b"12", b"3456789")
    if kind == "short":
        start_response("200 OK", [("Content-Length", "9")])
        return Parts(b"1234")
    if kind == "empty":
        start_response("200 OK", plain)
        return []
    if kind == "parts":
        start_response("200 OK", plain)
        return Parts(b"a", b"", b"bc")
    if kind == "nothing":
        start_response("204 No Content", [("X-A", "1"), ("Content-Length", "3")])
        return [b"abc"]
    if kind == "not-modified":
        start_response("304 Not Modified", [("ETag", "x"), ("Content-Length", "3")])
        return []
    if kind == "reason":
        start_response("299 Quite Well", plain)
        return [b"reason"]
    if kind == "headers":
        start_response("200 OK", [("Set-Cookie", "a=1"), ("set-cookie", "b=2"), ("Connection", "x"),
                                  ("Transfer-Encoding", "chunked"), ("X-Spaced", "  y  "), ("Server", "mine")])
        return [b"headers"]
    if kind == "file":
        start_response("200 OK", plain)
        return environ["wsgi.file_wrapper"](open("some-file", "rb"), 10)
    if kind == "part-of-a-file":
        start_response("200 OK", [("Content-Length", "7")])
        file = open("some-file", "rb")
        file.seek(3)
        return environ["wsgi.file_wrapper"](file)
    if kind == "no-file":
        start_response("200 OK", plain)
        return environ["wsgi.file_wrapper"](io.BytesIO(b"no file, but bytes"), 5)
    if kind == "hints":
        environ["wsgi.early_hints"]([("Link", "</style.css>; rel=preload")])
        start_response("200 OK", plain)
        return [b"hinted"]
    if kind == "bad-header":
        start_response("200 OK", [("X-Bad", "a\r\nb")])
        return [b"never"]
    if kind == "bad-status":
        start_response("nonsense", plain)
        return [b"never"]
    if kind == "text":
        start_response("200 OK", plain)
        return ["text instead of bytes"]
    if kind == "raise":
        raise LookupError("as asked for")
    if kind in FAULTS:
        raise FAULTS[kind]
    if kind == "raise-late":
        start_response("200 OK", plain)
        return Parts(b"some", raises=LookupError("as asked for"))
    if kind == "silent":
        return []
    if kind == "big":
        start_response("200 OK", plain)
        return Parts(*[b"0123456789" * 10_000] * 20)
    if kind == "at-once":
        start_response("200 OK", plain)
        return [b"0123456789" * 300_000]
    if kind == "closed":
        start_response("200 OK", plain)
        return [str(len(closed)).encode()]
    start_response("200 OK", plain)
    return [b"ok"]

def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path.startswith("/response/"):
        return respond(path[10:], environ, start_response)
    if path.startswith("/body/"):
        text = body_of(environ["wsgi.input"], path[6:])
    else:
        text = environ_of(environ)
    body = text.encode("latin-1", "backslashreplace")
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
'''
HOOKS = """
import datetime

def pre_request(worker, request):
    worker.log.info("HOOK before %s %s %s %s", request.method, request.path, request.query, request.headers)

def post_request(worker, request, environ, response):
    worker.log.info("HOOK after %s %s %s", request.uri, environ.get("PATH_INFO"), getattr(response, "status", None))
"""
HEAD = b"Host: shop.example.com\r\n"
TARGETS = [
    b"/", b"/caf%C3%A9%20x?a=%2F&b=1", b"/%E9", b"//two//slashes", b"/a%2Fb", b"/;p?x?y", b"/x?", b"/%zz",
    b"http://other.example/abs?q", b"/%00", b"/shop/x", b"/#f",
]  # fmt: skip
HEADERS = [
    b"X-Forwarded-For: 198.51.100.7\r\nX-Forwarded-Proto: https\r\n",
    b"X-Forwarded-Proto: https\r\nX-Forwarded-Ssl: off\r\n",
    b"X-Double: 1\r\nx-double: 2\r\nCookie: a=1\r\nCookie: b=2\r\n",
    b"SCRIPT_NAME: /shop\r\n",
    b"X_Under_Score: 1\r\nX-Under-Score: 2\r\n",
    b"X-Empty:\r\nX-Spaces:   a b   \r\nX-Latin: caf\xe9\r\n",
    b"Content-Type: text/plain\r\nAccept: */*\r\nAccept: text/html\r\n",
    b"Expect: something-else\r\n",
    b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\n",
    b"Connection: close\r\n",
    b"X-Request-Id: one\r\nAuthorization: Basic x\r\n",
]
OPERATIONS = [
    "read", "read:3,read:0,read:4,read", "readline,readline,readline", "readline:2,readline:20,read",
    "readline:0,readlines", "readlines", "iterate", "read:-1", "read:2,iterate", "readline,readlines:3,read:1",
]  # fmt: skip
BODIES = [b"", b"one line", b"first\nsecond\n\nlast", b"\n", b"x" * 3000 + b"\n" + b"y" * 70_000]
KINDS = [
    "write", "replaced", "too-late", "twice", "long", "short", "empty", "parts", "nothing", "not-modified", "reason",
    "headers", "file", "part-of-a-file", "no-file", "hints", "bad-header", "bad-status", "text", "raise", "raise-late",
    "silent", "big", "at-once", "ok", "closed",
    "its-own-tls", "its-own-tls-ends", "its-own-disk", "its-own-peer", "its-own-wait",
]  # fmt: skip
NEXT = b"GET /response/ok HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


def chunked(body):
    parts = [body[:5], body[5:]] if len(body) > 5 else [body]
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts if part) + b"0\r\n\r\n"


def requests():
    """Return the requests by what they show."""
    found = {}
    for target in TARGETS:
        found[f"environ of {target!r}"] = b"GET " + target + b" HTTP/1.1\r\n" + HEAD + b"\r\n"
    for headers in HEADERS:
        found[f"environ with {headers!r}"] = b"GET /shop/a HTTP/1.1\r\n" + HEAD + headers + b"\r\n"
    found["environ of HTTP/1.0"] = b"GET /old HTTP/1.0\r\n\r\n"
    found["environ of a kept HTTP/1.0"] = b"GET /old HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
    for operations in OPERATIONS:
        for body in BODIES:
            head = b"POST /body/" + operations.encode() + b" HTTP/1.1\r\n" + HEAD
            name = f"{operations} of {body[:10]!r}"
            found[name] = head + b"Content-Length: %d\r\n\r\n" % len(body) + body
            found[name + " chunked"] = head + b"Transfer-Encoding: chunked\r\n\r\n" + chunked(body)
    found["body that is expected"] = (
        b"POST /body/read HTTP/1.1\r\n" + HEAD + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\nok"
    )
    found["body that is left"] = (
        b"POST /response/ok HTTP/1.1\r\n" + HEAD + b"Content-Length: 20000\r\n\r\n" + b"z" * 20_000
    )
    found["chunked with a length"] = (
        b"POST / HTTP/1.1\r\n" + HEAD + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    )
    for kind in KINDS:
        for method in (b"GET", b"HEAD"):
            for version in (b"1.1", b"1.0"):
                found[f"{method!r} {kind} by HTTP/{version!r}"] = (
                    method + b" /response/" + kind.encode() + b" HTTP/" + version + b"\r\n" + HEAD + b"\r\n"
                )
    return found


def answered(program, data):
    """Return all that a server says to some bytes and, should it keep the connection, to a request behind them.

    Of what its parser refuses only the status: the words are a parser's own.
    """
    with contextlib.closing(program.connect()) as client:
        client.sendall(data + NEXT)
        answer = b""
        with contextlib.suppress(ConnectionError):
            while part := client.recv(65536):
                answer += part
    if answer.startswith(b"HTTP/1.1 400 "):
        return answer[:12]
    return re.sub(rb"Date: [^\r]*\r\n", b"", answer).replace(str(program.port).encode(), b"PORT")


@pytest.fixture
def both(run, commands):
    """Run gunicorn's gthread and our asgi on the same app, with the same flags."""

    def launched(*flags, **files):
        files = {"hello.py": APP, "hooks.py": HOOKS, "some-file": "0123456789" * 50, **files}
        return [
            run("--threads", "2", *flags, "-k", worker_class, command=commands[name], files=files).ready()
            for name, worker_class in (("gunicorn", "gthread"), ("stablehand-server", "asgi"))
        ]

    return launched


def hooked(program):
    return [line.partition("HOOK")[2] for line in program.log().splitlines() if "HOOK" in line and "/response" in line]


def test_every_request_is_answered_as_gunicorns_threads_answer_it(both):
    gunicorn, ours = both()
    differences = {}
    for name, data in requests().items():
        wanted, got = answered(gunicorn, data), answered(ours, data)
        if wanted != got:
            differences[name] = (wanted[:3000], got[:3000])
    assert differences == {}


@pytest.mark.parametrize(
    "flags", [("--header-map", "dangerous"), ("--forwarded-allow-ips", "*", "--forwarder-headers", "SCRIPT_NAME")]
)
def test_settings_of_the_environ_count(both, flags):
    gunicorn, ours = both(*flags)
    for headers in HEADERS:
        data = b"GET /shop/a HTTP/1.1\r\n" + HEAD + headers + b"\r\n"
        assert answered(ours, data) == answered(gunicorn, data)


def test_hooks_see_the_request_the_environ_and_the_response(both, until):
    gunicorn, ours = both("--config", "hooks.py")
    for program in (gunicorn, ours):
        answered(program, b"POST /response/parts?q=1 HTTP/1.1\r\n" + HEAD + b"Content-Length: 0\r\n\r\n")
    until(lambda: len(hooked(ours)) == len(hooked(gunicorn)))
    assert sorted(hooked(ours)) == sorted(hooked(gunicorn))


def test_the_access_log_says_the_same(both, until):
    gunicorn, ours = both(
        "--access-logfile", "access", "--access-logformat", '%(h)s "%(r)s" %(s)s %(B)s %(f)s %({x}i)s'
    )
    for program in (gunicorn, ours):
        answered(program, b"GET /response/parts HTTP/1.1\r\n" + HEAD + b"X: y\r\n\r\n")
    logs = [program.directory / "access" for program in (gunicorn, ours)]
    until(lambda: all(log.read_text().count("/response/ok") == 1 for log in logs))
    assert [line for line in logs[0].read_text().splitlines() if "response" in line] == [
        line for line in logs[1].read_text().splitlines() if "response" in line
    ]


STREAMS = r"""
import itertools, time

state = {"made": 0, "closed": 0}

class Endless:
    def __iter__(self):
        for _ in itertools.count():
            state["made"] += 1
            yield b"z" * 100_000

    def close(self):
        state["closed"] += 1

def app(environ, start_response):
    start_response("200 OK", [])
    path = environ["PATH_INFO"]
    if path == "/endless":
        return Endless()
    if path == "/slow":
        def slow():
            for number in range(3):
                yield b"%d" % number
                time.sleep(0.3)
        return slow()
    if path == "/wait":
        time.sleep(0.5)
        return [b"waited"]
    if path == "/read":
        return [str(len(environ["wsgi.input"].read())).encode()]
    return [f"{state['made']} {state['closed']}".encode()]
"""


@pytest.fixture
def streams(run):
    """Run an app with endless, slow and late responses under our asgi, with three threads."""
    return run("--threads", "3", "-k", "asgi", files={"hello.py": STREAMS}).ready()


def test_a_slow_client_holds_the_app_back_and_one_that_leaves_has_its_response_closed(streams, until):
    with contextlib.closing(streams.connect()) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        client.sendall(b"GET /endless HTTP/1.1\r\nHost: x\r\n\r\n")
        client.recv(10)
        made = -1
        while made != (made := int(streams.get().split()[0])):
            time.sleep(0.3)  # as long as the kernel's buffers and ours take more
        assert made < 300, "100 kB each"
    until(lambda: streams.get().split()[1] == "1")


def test_each_part_of_a_response_is_sent_as_soon_as_it_is_made(streams):
    with contextlib.closing(streams.connect()) as client:
        client.sendall(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        first = b""
        while b"\r\n0\r\n" not in first:
            first += client.recv(1000)
        assert b"\r\n2\r\n" not in first


def test_a_client_that_has_closed_its_side_gets_its_answers(streams):
    with contextlib.closing(streams.connect()) as client:
        client.sendall(b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n" * 2)
        client.shutdown(socket.SHUT_WR)
        answer = b""
        while part := client.recv(1000):
            answer += part
    assert answer.count(b"waited") == 2


@pytest.mark.parametrize("head", [b"Content-Length: 10\r\n\r\n12345", b"Transfer-Encoding: chunked\r\n\r\n5\r\n12345"])
@pytest.mark.parametrize("path", [b"/", b"/wait", b"/slow"])
@pytest.mark.parametrize("is_early", [True, False])
def test_a_connection_whose_client_has_cut_its_body_short_closes_at_once(streams, path, head, is_early):
    with contextlib.closing(streams.connect()) as client:
        client.settimeout(4)  # less than the rest of a body is waited for
        client.sendall(b"POST " + path + b" HTTP/1.1\r\nHost: x\r\n" + head)
        if is_early:
            client.shutdown(socket.SHUT_WR)
        assert client.recv(1000).startswith(b"HTTP/1.1 200 ")
        if not is_early:
            client.shutdown(socket.SHUT_WR)
        while client.recv(1000):
            pass


def test_a_large_body_of_which_the_app_reads_nothing_ends_in_no_reset_and_the_connection_goes_on(streams):
    body = b"Content-Length: 5000000\r\n\r\n" + b"z" * 5_000_000
    with contextlib.closing(streams.connect()) as client:
        for last in (False, True):
            sending = threading.Thread(target=client.sendall, args=(b"POST / HTTP/1.1\r\nHost: x\r\n" + body,))
            sending.start()
            answer = b""
            while not answer.endswith(b"0\r\n\r\n"):
                answer += client.recv(1000)
            sending.join()
            assert answer.startswith(b"HTTP/1.1 200 OK"), last


def test_a_body_that_comes_in_many_pieces_is_read_as_it_comes(streams):
    with contextlib.closing(streams.connect()) as client:
        client.sendall(b"POST /read HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 3000000\r\n\r\n")
        for _ in range(3):
            client.sendall(b"z" * 1_000_000)
            time.sleep(0.1)
        answer = b""
        while part := client.recv(1000):
            answer += part
    assert b"3000000" in answer


OWN_PROTOCOL = """
def app(environ, start_response):
    own = environ["gunicorn.socket"].dup()
    own.sendall(b"HTTP/1.1 101 Switching Protocols\\r\\nUpgrade: echo\\r\\nConnection: Upgrade\\r\\n\\r\\n")
    with own, own.makefile("rb") as lines:
        for line in lines:
            own.sendall(b"echo " + line)
            if line == b"bye\\n":
                raise StopIteration  # as websockets of other people's end
"""


RECEIVES_ITSELF = """
def app(environ, start_response):
    client = environ["gunicorn.socket"]
    client.sendall(b"HTTP/1.1 101 Switching Protocols\\r\\nUpgrade: echo\\r\\nConnection: Upgrade\\r\\n\\r\\n")
    while line := client.recv(100):
        client.sendall(b"echo " + line)
        if line == b"bye\\n":
            raise StopIteration
"""


RECEIVES_LATE = "import time\n" + RECEIVES_ITSELF.replace("    while line", "    time.sleep(0.5)\n    while line")


@pytest.mark.parametrize("app", [OWN_PROTOCOL, RECEIVES_ITSELF, RECEIVES_LATE], ids=["dup", "recv", "late"])
def test_an_app_may_take_its_clients_socket_over(run, commands, app):
    for name, flags in (("gunicorn", ("-k", "gthread")), ("stablehand-server", ("-k", "asgi"))):
        program = run(*flags, "--threads", "2", command=commands[name], files={"hello.py": app})
        wait_for_listener(program)
        with contextlib.closing(program.connect()) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n")
            with client.makefile("rb") as answers:
                head = [answers.readline() for _ in range(4)]
                assert head[0].startswith(b"HTTP/1.1 101 ")
                for line in (b"one\n", b"two\n", b"bye\n"):
                    client.sendall(line)
                    assert answers.readline() == b"echo " + line
                assert answers.read() == b""


def wait_for_listener(program):
    deadline = time.monotonic() + 20
    while True:
        with contextlib.suppress(ConnectionRefusedError):
            program.connect().close()
            return
        assert time.monotonic() < deadline, program.log()
        time.sleep(0.05)
