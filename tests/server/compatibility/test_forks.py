"""Processes that an app forks inside a request, and that come back from the app: gunicorn's worker goes on serving."""

from __future__ import annotations

import contextlib
import http.client
import socket

import pytest

pytestmark = pytest.mark.integration

APP = """
import multiprocessing, os, sys, time

def forks(path):
    return path.startswith("/child-") and os.fork() == 0

def end(path):
    open(f"forked-{os.getpid()}", "w").close()
    time.sleep(0.2)
    if path == "/child-exits":
        sys.exit(0)
    if path == "/child-raises":
        raise RuntimeError("in the child")

def terminated():
    process = multiprocessing.get_context("fork").Process(target=time.sleep, args=(0.6,))
    process.start()
    open(f"forked-{process.pid}", "w").close()
    time.sleep(0.1)
    process.terminate()
    process.join(5)

def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/terminated-child":
        terminated()
    elif forks(path):
        end(path)
    body = str(os.getpid()).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""
ASGI_APP = (
    APP.split("def app", maxsplit=1)[0]
    + """
async def app(scope, receive, send):
    if scope["type"] != "http":
        raise RuntimeError("no lifespan")
    path = scope["path"]
    if path == "/terminated-child":
        terminated()
    elif forks(path):
        end(path)
    body = str(os.getpid()).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})
"""
)
PATHS = ["/terminated-child", "/child-exits", "/child-raises", "/child-returns"]
# What gunicorn's own worker survives.
OF_GUNICORN = {"sync": PATHS, "gevent": ["/child-exits"], "tornado": ["/child-exits"]}


def forked(program):
    """Return the processes that the app has forked so far."""
    return {int(file.name.partition("-")[2]) for file in program.directory.glob("forked-*")}


def goes_on_after(program, paths, until, running):
    """Check that the one worker answers requests that fork, and later ones, and that what was forked is gone."""
    before, worker = len(forked(program)), program.get()
    for path in paths:
        assert answer(program, path) == worker
    until(lambda: len(forked(program)) == before + len(paths))
    until(lambda: not forked(program) & {pid for pid in running(program) if not is_zombie(pid)})
    for _ in range(3):
        assert program.get() == worker


def a_kept_connection_stays_in_step(program, until, running):
    """Check that what fails in a child is no answer to the next request of a connection."""
    before, connection = len(forked(program)), http.client.HTTPConnection("127.0.0.1", program.port, timeout=10)
    with contextlib.closing(connection):
        for path in ("/child-exits", "/child-raises"):
            connection.request("GET", path)
            worker = connection.getresponse().read().decode()
        until(lambda: len(forked(program)) == before + 2)
        until(lambda: not forked(program) & {pid for pid in running(program) if not is_zombie(pid)})
        connection.request("GET", "/")
        response = connection.getresponse()
        assert (response.status, response.read().decode()) == (200, worker)


def answer(program, path):
    """Return the first response's body: a child that comes back may write another one after it, or before."""
    connection = http.client.HTTPConnection("127.0.0.1", program.port, timeout=10)
    with contextlib.closing(connection):
        connection.request("GET", path, headers={"Connection": "close"})
        return connection.getresponse().read().decode()


def is_zombie(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:  # noqa: PTH123 (no file of ours)
            return file.read().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


@pytest.mark.parametrize("worker_class", OF_GUNICORN)
def test_gunicorns_worker_goes_on_whatever_the_app_forks(run, until, running, *, commands, worker_class):
    program = run("--worker-class", worker_class, command=commands["gunicorn"], files={"hello.py": APP})
    until(program.get)
    for path in OF_GUNICORN[worker_class]:
        goes_on_after(program, [path], until, running)  # the next one might be answered by what is forked


@pytest.mark.parametrize(
    ("worker_class", "app"),
    [
        ("sync", APP),
        ("gthread", APP),
        ("gevent", APP),
        ("eventlet", APP),
        ("tornado", APP),
        ("asgi", APP),
        ("asgi", ASGI_APP),
    ],
    ids=["sync", "gthread", "gevent", "eventlet", "tornado", "asgi-wsgi", "asgi"],
)
def test_a_worker_goes_on_whatever_the_app_forks(run, until, running, *, worker_class, app):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        metrics = probe.getsockname()[1]
    flags = ("--worker-class", worker_class, "--keep-alive", "15", "--metrics-bind", f"127.0.0.1:{metrics}")
    program = run(*flags, files={"hello.py": app}).ready()

    # multiprocessing hangs under eventlet
    goes_on_after(program, PATHS[worker_class == "eventlet" :], until, running)
    if worker_class != "sync":
        a_kept_connection_stays_in_step(program, until, running)

    connection = http.client.HTTPConnection("127.0.0.1", metrics, timeout=10)
    scraped = program.get(connection, path="/metrics").splitlines()
    busy = [line for line in scraped if line.startswith("stablehand_worker_busy_slots{")]
    assert [line.rpartition(" ")[2] for line in busy] == ["0.0"]
    assert program.log().count("Booting worker") == 1
