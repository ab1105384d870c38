"""Reloads and ends while something is going on, some of it for longer than --graceful-timeout, which is 2 seconds."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from conformance.case import case
from conformance.columns import ASGI, STREAMING
from conformance.servers import request, wait_until
from conformance.websocket import WebSocket

if TYPE_CHECKING:
    from conformance.servers import Server, Starter

RELOAD, END, HOOKS = "Reload (HUP)", "End (TERM)", "Hooks and requests served"
LIMITS = ("--workers=1", "--timeout=30", "--keep-alive=5", "--graceful-timeout=2")
_CLOSED = {f"close {code}" for code in (1000, 1001, 1011, 1012)}
LONG = "/download?10&0.45&1000"
# Every hook leaves its name, with M or W for the process: master or worker.
NOTING = """
import atexit, os
master = os.getpid()

def note(name):
    with open("hooks", "a") as file:
        file.write(("M " if os.getpid() == master else "W ") + name + "\\n")

def one(name):
    return lambda arbiter_or_worker: note(name)

def two(name):
    return lambda arbiter, worker: note(name)

on_starting, on_reload, when_ready = one("on_starting"), one("on_reload"), one("when_ready")
on_exit, post_worker_init = one("on_exit"), one("post_worker_init")
worker_int, worker_abort = one("worker_int"), one("worker_abort")
pre_fork, worker_exit, child_exit = two("pre_fork"), two("worker_exit"), two("child_exit")

def post_fork(server, worker):
    note("post_fork")
    atexit.register(note, "atexit")

def pre_request(worker, req):
    if req.path == "/counted":
        note("pre_request")

def post_request(worker, req, environ, resp):
    if req.path == "/counted":
        note("post_request")
"""


def noting(start: Starter, *flags: str, **options: object) -> Server:
    """Start a server that notes its hooks."""
    conf = start.directory / "gunicorn.conf.py"
    conf.write_text(NOTING)
    return start(*LIMITS, "--config", str(conf), *flags, **options)


def noted(server: Server) -> list[str]:
    """Return what has been noted."""
    path = server.directory / "hooks"
    return path.read_text().splitlines() if path.exists() else []


def reloaded(server: Server, before: str) -> None:
    """Reload, and return when only a new worker answers."""
    server.signal(signal.SIGHUP)
    wait_until(lambda: server.worker() not in {"", before}, 60)


class Asking(threading.Thread):
    """A request that is under way while something else is done."""

    def __init__(self, server: Server, path: str) -> None:
        super().__init__()
        self._client = server.connect().send(request(path))
        self.told = ""

    def run(self) -> None:
        """Read the response."""
        with self._client as client:
            response = client.final()
            self.told = client.end.replace("reset", "closed") if response is None else response.cut()


@contextlib.contextmanager
def asking(server: Server, path: str, seconds: float = 0.5):
    """Have a request under way; it has begun to be served when this is entered."""
    thread = Asking(server, path)
    thread.start()
    time.sleep(seconds)
    try:
        yield thread
    finally:
        thread.join()


def ended(server: Server, number: int = signal.SIGTERM) -> str:
    """End a server, and return its exit status in words."""
    server.signal(number)
    try:
        return f"exit {server.process.wait(timeout=30)}"
    except subprocess.TimeoutExpired:
        return "does not end"


def at_the_end(server: Server) -> str:
    """Return whether all hooks of the end have run: a server that is in a hurry leaves out now these, now those."""
    wanted = {"W atexit", "W worker_exit", "M child_exit", "M on_exit"}
    return "all hooks" if wanted <= set(noted(server)) else "not all hooks"


# Reload ---------------------------------------------------------------------------------------------------------------


@case(RELOAD, None)
def hup__a_download_goes_on(start: Starter) -> str:
    server = start(*LIMITS)
    before = server.worker()
    with asking(server, LONG) as request_under_way:
        reloaded(server, before)
    return f"{request_under_way.told}; {server.get('/after')}"


@case(RELOAD, None)
def hup__a_long_poll_goes_on(start: Starter) -> str:
    server = start(*LIMITS)
    before = server.worker()
    with asking(server, "/poll?4.5") as request_under_way:
        reloaded(server, before)
    return request_under_way.told


@case(RELOAD, None, columns=STREAMING)
def hup__a_quiet_event_stream_goes_on(start: Starter) -> str:
    server = start(*LIMITS)
    before = server.worker()
    with asking(server, "/events?4.5") as request_under_way:
        reloaded(server, before)
    return request_under_way.told


@case(RELOAD, None, columns=STREAMING)
def hup__a_websocket_goes_on(start: Starter) -> str:
    server = start(*LIMITS)
    before = server.worker()
    with WebSocket(server) as socket:
        if socket.status != 101:
            return str(socket.status)
        socket.echo("one")
        reloaded(server, before)
        for _ in range(9):
            answer = socket.echo("one")
            if answer != "one":
                return answer if answer in _CLOSED else "cut"
            time.sleep(0.5)
        return "all echoed"


@case(RELOAD, None)
def hup__a_kept_connection_asks_soon_after(start: Starter) -> str:
    # On a machine with much to do the new worker needs longer to boot than the shorter limits would allow for.
    server = start(*LIMITS, "--graceful-timeout=60", "--keep-alive=60")
    before = server.worker()
    with server.connect() as client:
        first = client.send(request("/first")).final()
        reloaded(server, before)
        return f"{first}; then {client.second()}"


@case(RELOAD, None)
def hup__to_another_class_while_a_download_goes_on(start: Starter) -> str:
    conf = start.directory / "gunicorn.conf.py"
    now = dict(flag.removeprefix("--").split("=") for flag in start.column.flags(start.kind))
    conf.write_text(f"worker_class = {now['worker-class']!r}\nthreads = {now.get('threads', 1)}\n")
    server = start(*LIMITS, "--config", str(conf), class_flags=False)
    before = server.worker()
    with asking(server, LONG) as request_under_way:
        if start.column.interface == "asgi":
            conf.write_text("worker_class = 'asgi'\nworker_connections = 10\n")
        else:
            conf.write_text(f"worker_class = {'gthread' if start.column.name == 'sync' else 'sync'!r}\nthreads = 1\n")
        reloaded(server, before)
    return f"{request_under_way.told}; {server.get('/after')}"


@case(RELOAD, None)
def hup__requests_all_the_while(start: Starter) -> str:
    server = start(*LIMITS)
    before = server.worker()
    told: set[str] = set()
    done = threading.Event()

    def ask() -> None:
        while not done.is_set():
            told.add(str(server.get("/again")))
            time.sleep(0.02)  # there are two cores, and more cases

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        reloaded(server, before)
    finally:
        done.set()
        for thread in threads:
            thread.join()
    return ", ".join(sorted(told))


# End ------------------------------------------------------------------------------------------------------------------


@case(END, None)
def term__a_request_is_under_way(start: Starter) -> str:
    server = noting(start)
    with asking(server, "/wait?1.3") as request_under_way:
        status = ended(server)
    return f"{request_under_way.told}; {status}; {at_the_end(server)}"


@case(END, None)
def term__a_request_takes_long(start: Starter) -> str:
    server = noting(start)
    with asking(server, "/wait?20") as request_under_way:
        status = ended(server)
    return f"{request_under_way.told}; {status}; {at_the_end(server)}"


@case(END, None)
def term__a_connection_is_kept(start: Starter) -> str:
    server = noting(start)
    with server.connect() as client:
        client.send(request("/first")).final()
        return f"{ended(server)}; {at_the_end(server)}"


@case(END, None)
def term__a_connection_is_silent(start: Starter) -> str:
    server = noting(start)
    with server.connect():
        time.sleep(0.2)
        return f"{ended(server)}; {at_the_end(server)}"


@case(END, None, columns=ASGI | {"sync"})
def term__nothing_is_going_on(start: Starter) -> str:
    server = noting(start)
    return f"{ended(server)}; {at_the_end(server)}; lifespan {(server.directory / 'lifespan').exists()}"


@case(END, None, name="INT: a request is under way")
def int_a_request_is_under_way(start: Starter) -> str:
    server = noting(start)
    with asking(server, "/wait?1.3") as request_under_way:
        status = ended(server, signal.SIGINT)
    return f"{request_under_way.told}; {status}; {at_the_end(server)}"


def with_own_handler(start: Starter) -> Server:
    """Start a server whose app handles SIGTERM by itself."""
    return start(*LIMITS, app="sigterm_app:app", environment={"INTERFACE": start.column.interface})


@case(END, None)
def term__an_app_that_handles_it_by_itself_has_a_request(start: Starter) -> str:
    server = with_own_handler(start)
    with asking(server, "/wait?1.3") as request_under_way:
        status = ended(server)
    return f"{request_under_way.told}; {status}"


@case(RELOAD, None)
def hup__an_app_that_handles_sigterm_by_itself_has_a_request(start: Starter) -> str:
    server = with_own_handler(start)
    before = server.worker()
    with asking(server, "/wait?1.3") as request_under_way:
        reloaded(server, before)
    return request_under_way.told


# Hooks ----------------------------------------------------------------------------------------------------------------


@case(HOOKS, None)
def hooks_of_a_life(start: Starter) -> str:
    server = noting(start)
    for _ in range(2):
        server.get("/counted")
        wait_until(lambda: _settled(server))
    ended(server)
    return ", ".join(line for line in noted(server) if line != "M child_exit")  # gunicorn does not always wait for it


@case(HOOKS, None)
def hooks_of_a_reload(start: Starter) -> str:
    server = noting(start)
    reloaded(server, server.worker())
    wait_until(lambda: "M child_exit" in noted(server))
    wait_until(lambda: _settled(server))
    return ", ".join(sorted(noted(server)))


def _settled(server: Server) -> bool:
    before = noted(server)
    time.sleep(0.3)
    return noted(server) == before


@case(HOOKS, None)
def max_requests__new_connections(start: Starter) -> str:
    server = start(*LIMITS, "--max-requests=5")
    workers: set[str] = set()
    wait_until(lambda: workers.add(server.worker()) or "" in workers or len(workers) == 3, 60)
    return "one is not answered" if "" in workers else "all are answered, by new workers"


@case(HOOKS, None)
def max_requests__kept_connections(start: Starter) -> str:
    server = start(*LIMITS, "--max-requests=5")
    workers: set[str] = set()
    client = server.connect()
    deadline = time.monotonic() + 60
    while len(workers) < 3 and time.monotonic() < deadline:
        response = client.send(request("/process")).final()
        workers.add(response.body.decode() if response is not None else "")
        time.sleep(0.02)
        if response is None or response.header("connection") == "close" or start.column.name == "sync":
            client.connection.close()
            client = server.connect()
    client.connection.close()
    return "one is not answered" if "" in workers else "all are answered, by new workers"


@case(HOOKS, None, columns=ASGI | {"sync"})
def killed_worker_is_replaced(start: Starter) -> str:
    server = noting(start)
    before = server.worker()
    Path(f"/proc/{before}").stat()
    subprocess.run(["kill", "-KILL", before], check=True)
    wait_until(lambda: server.worker() not in {"", before}, 30)
    return str(server.get("/after"))
