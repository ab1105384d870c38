"""Too few descriptors or processes, and connections that have gathered before there was a worker."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from conformance.case import case
from conformance.servers import holds_within, request, wait_until

if TYPE_CHECKING:
    from conformance.servers import Server, Starter

SHORTAGE, BOOT, LISTENING = "Shortage", "Boot", "Listening and users"
LIMITS = ("--workers=1", "--timeout=3", "--keep-alive=2", "--graceful-timeout=2")
FEW_DESCRIPTORS = """
import os, resource

def post_worker_init(worker):
    limit = len(os.listdir("/proc/self/fd")) + 12
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
"""
_WAITED = "200 'waited'"
NO_FORK = """
import errno, os
real_fork = os.fork

def fork():
    if os.path.exists("no-fork"):
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")
    return real_fork()

os.fork = fork
"""


def configured(start: Starter, text: str, *flags: str) -> Server:
    """Start a server with a configuration file."""
    conf = start.directory / "gunicorn.conf.py"
    conf.write_text(text)
    return start(*LIMITS, "--config", str(conf), *flags)


@case(SHORTAGE, None)
def descriptors__more_silent_connections_than_there_are(start: Starter) -> str:
    server = configured(start, FEW_DESCRIPTORS)
    before = server.worker()
    clients = [server.connect() for _ in range(40)]
    time.sleep(1.0)
    for client in clients:
        client.connection.close()
    wait_until(server.worker, 30)
    return f"{server.get('/after')} by {'the same' if server.worker() == before else 'another'} worker"


@case(SHORTAGE, None)
def descriptors__more_requests_than_there_are(start: Starter) -> str:
    server = configured(start, FEW_DESCRIPTORS)
    before = server.worker()
    with ThreadPoolExecutor(40) as pool:
        told = list(pool.map(lambda _: str(server.get("/wait?0.05")), range(40)))
    wait_until(server.worker, 30)
    worker = "the same" if server.worker() == before else "another"
    return f"{'all' if set(told) == {_WAITED} else 'not all'} answered; {worker} worker"


@case(SHORTAGE, None, columns=frozenset({"sync"}))
def fork_fails_for_a_while(start: Starter) -> str:
    server = configured(start, NO_FORK)
    (server.directory / "no-fork").touch()
    subprocess.run(["kill", "-KILL", server.worker()], check=True)
    gone = holds_within(lambda: server.process.poll() is not None, 3.0)
    (server.directory / "no-fork").unlink()
    return f"exit {server.process.poll()}" if gone else f"{holds_within(server.answers, 40) and 'serves again'}"


def booting(start: Starter, *flags: str) -> Server:
    """Start a server whose app is imported until the file go is there; it listens already."""
    server = start(*LIMITS, *flags, app="boot_app:app", environment={"INTERFACE": start.column.interface}, ready=False)
    wait_until(lambda: _listens(server), 60)
    return server


def _listens(server: Server) -> bool:
    try:
        server.open().close()
    except OSError:
        return False
    return True


@case(BOOT, None)
def requests_that_have_gathered(start: Starter) -> str:
    server = booting(start)
    clients = [server.connect().send(request("/early", close=True)) for _ in range(30)]
    halves = [server.connect().send(b"GET /half HTTP/1.1\r\nHo") for _ in range(3)]
    gone = [server.connect().send(request("/gone")) for _ in range(5)]
    for client in gone:
        client.reset()
    time.sleep(0.3)
    (server.directory / "go").touch()
    for client in halves:
        client.send(b"st: x\r\nConnection: close\r\n\r\n")
    told = [client.final() is not None for client in [*clients, *halves]]
    for client in [*clients, *halves]:
        client.connection.close()
    return f"{sum(told)} of 33 answered; {server.get('/after')}"


@case(BOOT, None)
def request_that_has_waited_holds_the_worker_for_ever(start: Starter) -> str:
    server = booting(start)
    with server.connect() as client:
        client.send(request("/hold?600"))
        time.sleep(0.2)
        (server.directory / "go").touch()
        return (
            "others are served" if holds_within(lambda: server.get("/others", seconds=2.0), 25) else "nobody is served"
        )


@case(LISTENING, None, columns=frozenset({"sync", "gthread", "asgi"}))
def socket_that_two_servers_inherit(start: Starter) -> str:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        listener.set_inheritable(True)
        number = listener.fileno()
        servers = [start(*LIMITS, ready=False, bind=f"fd://{number}", pass_fds=(number,)) for _ in range(2)]
        for server in servers:
            server.port = listener.getsockname()[1]
            wait_until(lambda server=server: "Booting worker" in server.log(), 60)
        wait_until(servers[0].answers, 60)
        servers[0].process.terminate()
        status = servers[0].process.wait(timeout=30)
        told = {str(servers[1].get("/after")) for _ in range(10)}
        return f"exit {status}; {', '.join(sorted(told))}"


@case(LISTENING, None, columns=frozenset({"sync", "gthread", "gevent", "tornado", "asgi"}))
def two_addresses(start: Starter) -> str:
    path = start.directory / "socket"
    server = start(*LIMITS, f"--bind=unix:{path}")
    tcp = str(server.get("/tcp"))
    server.unix = path
    return f"{tcp}; {server.get('/unix')}"


# The Python that runs the tests may be in a home that nobody else can read: what is imported has to be there before.
_OTHER_USER = ("--preload", "--user=65534", "--group=65534")


@case(LISTENING, None, needs_root=True, columns=frozenset({"sync", "gthread"}))
def workers_of_another_user(start: Starter) -> str:
    path = start.directory / "socket"
    server = start(*LIMITS, *_OTHER_USER, "--umask=7", f"--bind=unix:{path}")
    owner = path.stat()
    return f"{server.get('/owner')}; socket {owner.st_uid}:{owner.st_gid} {owner.st_mode & 0o777:o}"


@case(LISTENING, None, needs_root=True, columns=frozenset({"sync", "gthread"}))
def workers_of_another_user_after_a_reload(start: Starter) -> str:
    server = start(*LIMITS, *_OTHER_USER)
    before = server.worker()
    server.signal(signal.SIGHUP)
    wait_until(lambda: server.worker() not in {"", before}, 60)
    return str(server.get("/owner"))
