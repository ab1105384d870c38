"""Connections that wait while their worker is busy for longer than each of its time limits, and ones opened ahead.

All servers of a test run at the same time: most of it is waiting.
"""

from __future__ import annotations

import contextlib
import functools
import ssl
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]

CLASSES = ["sync", "gthread", "gevent", "eventlet", "tornado", "asgi", "asgi-wsgi"]
OURS, GUNICORN = "stablehand-server", "gunicorn"
BLOCKED_SECONDS = 9.5  # longer than --keep-alive, and than a new connection may at least be silent
AHEAD_SECONDS = 7.0
# The C library's sleep is none that gevent and eventlet know.
WSGI = """
import ctypes, pathlib

def app(environ, start_response):
    if environ["PATH_INFO"] == "/block":
        pathlib.Path("blocked").touch()
        ctypes.CDLL(None).usleep(SECONDS)
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
"""
ASGI = """
import ctypes, pathlib

async def app(scope, receive, send):
    if scope["type"] != "http":
        raise RuntimeError("no lifespan")
    if scope["path"] == "/block":
        pathlib.Path("blocked").touch()
        ctypes.CDLL(None).usleep(SECONDS)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})
"""
REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
BLOCK = REQUEST.replace(b"/ ", b"/block ", 1)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A key and its certificate."""
    folder = tmp_path_factory.mktemp("tls")
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    subprocess.run([*command, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    return "--certfile", str(certificate), "--keyfile", str(key)


@pytest.fixture
def serve(run, until, commands):
    """Run a class of one of the two servers with the app that blocks, and return it when it boots a worker."""

    def start(name, worker_class, *flags):
        app = ASGI if worker_class == "asgi" else WSGI
        program = run(
            *("--worker-class", worker_class.removesuffix("-wsgi"), "--timeout", "30"),
            *("--threads", "1"),
            *flags,
            command=commands[name],
            files={"hello.py": app.replace("SECONDS", str(int(BLOCKED_SECONDS * 1e6)))},
        )
        until(lambda: "Booting worker" in program.log() or program.process.poll() is not None, 60)
        assert program.process.poll() is None, program.log()
        return program

    return start


def test_what_has_come_while_a_worker_was_busy_for_longer_than_all_its_limits_is_answered(serve):
    names = [*((OURS, each) for each in CLASSES), (GUNICORN, "tornado")]
    programs = {name: serve(*name, "--keep-alive", "3") for name in names}
    outcomes = at_once(programs, starve)

    assert outcomes == {name: dict.fromkeys(outcomes[name], 200) for name in names}


def test_what_has_come_over_tls_while_a_worker_was_busy_for_longer_than_all_its_limits_is_answered(serve, certificate):
    names = [(OURS, each) for each in CLASSES]
    programs = {name: serve(*name, "--keep-alive", "3", *certificate) for name in names}
    outcomes = at_once(programs, functools.partial(starve, tls=True))

    assert outcomes == {name: dict.fromkeys(outcomes[name], 200) for name in names}


def test_a_connection_that_was_opened_ahead_is_served_as_late_as_keep_alive_says_or_gunicorn_does(serve):
    # under gevent and eventlet gunicorn's limit is --keep-alive, and gthread has five seconds more
    names = [(OURS, each, "30") for each in CLASSES]
    names += [(server, each, "2") for server in (OURS, GUNICORN) for each in ("sync", "tornado", "asgi")]
    names += [(server, "gthread", "4") for server in (OURS, GUNICORN)]
    programs = {name: serve(*name[:2], "--keep-alive", name[2]) for name in names}

    assert at_once(programs, ask_late) == dict.fromkeys(names, 200)


def at_once(programs, talk):
    """Return what comes of talking to each of the programs, by name, all at the same time."""
    with ThreadPoolExecutor(len(programs)) as pool:
        talks = {name: pool.submit(talk, name, program) for name, program in programs.items()}
        return {name: each.result() for name, each in talks.items()}


def starve(name, program, *, tls=False):
    """Return how requests are answered that came while the app kept the worker busy, by how they came."""
    serves_one, reads_one = name[1] == "sync", name[1] in {"sync", "gthread"}
    with contextlib.ExitStack() as stack:

        def connect():
            return stack.enter_context(contextlib.closing(Client(program.connect(), tls=tls)))

        clients = {way: connect() for way in ("kept", "half", "new")}
        if serves_one:
            del clients["kept"]
        if reads_one:  # and would wait for the rest of a request before it serves another one
            del clients["half"]
        else:
            clients["half"].send(REQUEST[:9])
        blocking = connect()
        if not serves_one:
            assert clients["kept"].ask() == 200
        blocking.send(BLOCK)
        deadline = time.monotonic() + 60
        while not (program.directory / "blocked").exists():
            assert time.monotonic() < deadline, program.log()
            time.sleep(0.02)
        clients["late"] = connect()
        answers = {}
        with ThreadPoolExecutor(len(clients)) as pool:
            asked = {
                way: pool.submit(client.ask, REQUEST[9:] if way == "half" else REQUEST)
                for way, client in clients.items()
            }
            answers = {way: each.result() for way, each in asked.items()}
        return {"blocking": blocking.answer(), **answers}


def ask_late(name, program):
    """Return how a request is answered that comes long after its connection."""
    del name
    with contextlib.closing(Client(program.connect())) as client:
        time.sleep(AHEAD_SECONDS)
        return client.ask()


class Client:
    """A connection; under TLS, its handshake comes with the first bytes that are sent."""

    def __init__(self, connection, *, tls=False):
        connection.settimeout(60)
        self._connection = connection
        self._tls = tls

    def close(self):
        """Close it."""
        self._connection.close()

    def send(self, data):
        """Send bytes."""
        if self._tls:
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            self._connection, self._tls = context.wrap_socket(self._connection), False
        self._connection.sendall(data)

    def answer(self):
        """Return the next response's status, or how the connection ended without one."""
        received = b""
        try:
            while not received.endswith(b"ok"):
                data = self._connection.recv(1000)
                if not data:
                    return f"closed after {received!r}"
                received += data
        except OSError as error:
            return f"{type(error).__name__} after {received!r}"
        return int(received.split()[1])

    def ask(self, data=REQUEST):
        """Send a request, or the rest of one, and return its answer."""
        try:
            self.send(data)
        except OSError as error:
            return type(error).__name__
        return self.answer()
