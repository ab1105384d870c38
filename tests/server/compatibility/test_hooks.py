from __future__ import annotations

import dataclasses
import os
import signal
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.integration

# Each hook notes its name, who runs it, and what its arguments are.
CONFIGURATION = """
import os

def note(name, *arguments):
    shown = " ".join(str(each) if isinstance(each, int | None) else type(each).__name__ for each in arguments)
    with open("hooks", "a") as file:
        file.write(f"{os.getpid()} {name} {shown}\\n")

def on_starting(server): note("on_starting")
def on_reload(server): note("on_reload")
def when_ready(server): note("when_ready")
def pre_fork(server, worker): note("pre_fork", worker.pid)
def post_fork(server, worker): note("post_fork", None if worker.pid != os.getpid() else 0)
def post_worker_init(worker): note("post_worker_init", int(worker.booted))
def worker_int(worker): note("worker_int")
def worker_abort(worker): note("worker_abort")
def pre_exec(server): note("pre_exec")
def pre_request(worker, req): note("pre_request", req)
def post_request(worker, req, environ, resp): note("post_request", req, environ, resp)
def child_exit(server, worker): note("child_exit", int(worker.aborted))
def worker_exit(server, worker): note("worker_exit")
def nworkers_changed(server, new_value, old_value): note("nworkers_changed", new_value, old_value)
def on_exit(server): note("on_exit")
"""
HANGING = "import time\n\ndef app(environ, start_response):\n    time.sleep(600)\n"
CLASSES = ["sync", "gthread", "gevent"]


@dataclasses.dataclass(frozen=True)
class Calls:
    """What the master's hooks were, and those of each of its workers, in their order."""

    master: list[str]
    workers: list[list[str]]


def calls(directory: Path, master: int) -> Calls:
    """Return the hooks that were called so far."""
    found: dict[int, list[str]] = {}
    file = directory / "hooks"
    for line in file.read_text().splitlines() if file.exists() else ():
        pid, name = line.split(" ", 1)
        found.setdefault(int(pid), []).append(name.strip())
    return Calls(found.pop(master, []), list(found.values()))


def count(calls: Calls, name: str) -> int:
    """Return how often a hook was called."""
    everyone = (calls.master, *calls.workers)
    return sum(call.split()[0] == name for process in everyone for call in process)


@pytest.fixture
def story(run, until, commands):
    """Return what happens to the hooks of a command, from its start over a request and further steps to its end."""

    def tell(name, worker_class, *flags, files=None, workers=1, steps=()):
        program = run(
            *("--worker-class", worker_class, "--workers", str(workers), *flags),
            command=commands[name],
            files={"gunicorn.conf.py": CONFIGURATION, **(files or {})},
        )

        def so_far():
            return calls(program.directory, program.process.pid)

        until(lambda: count(so_far(), "post_worker_init") == workers)
        for step in steps:
            step(program, so_far)
        program.process.wait(timeout=20)
        return so_far()

    return tell


@pytest.fixture
def request_served(until):
    """A step: one request, and its hooks."""

    def step(program, so_far):
        before = count(so_far(), "post_request")
        assert program.get()
        until(lambda: count(so_far(), "post_request") == before + 1)

    return step


@pytest.fixture
def reloaded(until):
    """A step: SIGHUP, and one worker in place of another."""

    def step(program, so_far):
        program.process.send_signal(signal.SIGHUP)
        until(lambda: count(so_far(), "child_exit") == 1)

    return step


def ended_by(number: signal.Signals):
    """Return a step: the end by a signal."""
    return lambda program, _: program.process.send_signal(number)


@pytest.mark.parametrize("worker_class", CLASSES)
def test_the_hooks_of_a_servers_life_are_called_as_gunicorn_calls_them(story, request_served, reloaded, worker_class):
    steps = (request_served, reloaded, request_served, ended_by(signal.SIGTERM))
    theirs = story("gunicorn", worker_class, steps=steps)
    ours = story("stablehand-server", worker_class, steps=steps)

    assert ours.master == theirs.master
    assert ours.workers == theirs.workers
    assert len(ours.workers) == 2
    assert ours.workers[0] == [
        "post_fork 0",
        "post_worker_init 0",
        "pre_request Request",
        "post_request Request dict Response",
        "worker_exit",
    ]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT])
@pytest.mark.parametrize("worker_class", CLASSES)
def test_a_quick_end_calls_the_same_hooks_as_gunicorns(story, request_served, worker_class, number):
    steps = (request_served, ended_by(number))
    theirs = story("gunicorn", worker_class, steps=steps)
    ours = story("stablehand-server", worker_class, steps=steps)

    assert ours == theirs
    assert count(ours, "worker_int") == 1


def test_a_worker_that_does_not_beat_is_aborted_with_the_same_hooks_as_gunicorns(story, until):
    def hang(program, so_far):
        with program.connect() as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
            until(lambda: count(so_far(), "child_exit") == 1 and count(so_far(), "post_worker_init") == 2)

    steps = (hang, ended_by(signal.SIGTERM))
    flags, files = ("--timeout", "1"), {"hello.py": HANGING}
    theirs = story("gunicorn", "sync", *flags, files=files, steps=steps)
    ours = story("stablehand-server", "sync", *flags, files=files, steps=steps)

    assert ours.master == theirs.master
    # gunicorn may kill the worker before it comes to its last hook; here it has a second for it.
    assert ours.workers[0] == [*(call for call in theirs.workers[0] if call != "worker_exit"), "worker_exit"]
    assert "worker_abort" in ours.workers[0]
    assert "child_exit 1" in ours.master


def test_more_and_fewer_workers_are_told_to_the_hook_as_by_gunicorn(story, until):
    def more_and_fewer(program, so_far):
        program.process.send_signal(signal.SIGTTIN)
        until(lambda: count(so_far(), "post_worker_init") == 2)
        program.process.send_signal(signal.SIGTTOU)
        until(lambda: count(so_far(), "child_exit") == 1)

    steps = (more_and_fewer, ended_by(signal.SIGTERM))
    theirs = story("gunicorn", "sync", steps=steps)
    ours = story("stablehand-server", "sync", steps=steps)

    assert ours.master == theirs.master
    assert "nworkers_changed 2 1" in ours.master
    assert "nworkers_changed 1 2" in ours.master


def test_pre_exec_runs_in_the_new_master_before_it_begins_as_with_gunicorn(story, until):
    def upgrade(program, so_far):
        program.process.send_signal(signal.SIGUSR2)
        until(lambda: count(so_far(), "when_ready") == 2)
        lines = (program.directory / "hooks").read_text().splitlines()
        (new,) = [int(line.split()[0]) for line in lines if "pre_exec" in line]
        program.process.send_signal(signal.SIGTERM)
        program.process.wait(timeout=20)
        os.kill(new, signal.SIGTERM)
        until(lambda: count(so_far(), "on_exit") == 2)

    theirs = story("gunicorn", "sync", steps=(upgrade,))
    ours = story("stablehand-server", "sync", steps=(upgrade,))

    assert ours == theirs
    assert count(ours, "pre_exec") == 1


ENDS_ITS_WORKER = """
def post_request(worker, req, environ, resp):
    note("post_request", req, environ, resp)
    worker.alive = False
"""
LOOKS_AROUND = """
def look(name, worker=None, server=None):
    seen = []
    if worker is not None:
        import hello
        app = getattr(worker, "wsgi", None)
        seen += [worker.pid == os.getpid(), worker.age, worker.booted, worker.alive, worker.aborted, worker.nr]
        seen += [worker.tmp is not None, worker.cfg.workers, worker.ppid > 0, len(worker.sockets), worker.timeout]
        seen += [app is hello.app, app is None, worker.app.callable is not None]
    if server is not None:
        seen += [len(server.WORKERS), server.num_workers, server.cfg.workers, server.cfg.worker_class_str]
        seen += [server.pid > 0, len(server.LISTENERS), server.proc_name, server.worker_age]
    with open("hooks", "a") as file:
        file.write(f"{os.getpid()} {name} {seen}\\n")

def on_starting(server): look("on_starting")
def when_ready(server): look("when_ready", server=server)
def pre_fork(server, worker): look("pre_fork", worker, server)
def post_fork(server, worker): look("post_fork", worker, server)
def post_worker_init(worker): look("post_worker_init", worker)
def pre_request(worker, req): look("pre_request", worker)
def post_request(worker, req, environ, resp): look(f"post_request {resp.status} {resp.sent} {req.uri}", worker)
def child_exit(server, worker): look("child_exit", None, server)
def worker_exit(server, worker): look("worker_exit", worker)
def on_exit(server): look("on_exit", server=server)
"""
FAILS_AT_BOOT = """
def post_worker_init(worker):
    note("post_worker_init", int(worker.booted))
    raise LookupError("the hook fails")
"""


@pytest.mark.parametrize("worker_class", CLASSES)
def test_hooks_find_the_same_in_their_arguments_as_under_gunicorn(story, request_served, worker_class):
    steps, files = (request_served, ended_by(signal.SIGTERM)), {"gunicorn.conf.py": "import os\n" + LOOKS_AROUND}
    theirs = story("gunicorn", worker_class, files=files, steps=steps)
    ours = story("stablehand-server", worker_class, files=files, steps=steps)

    assert ours.workers == theirs.workers
    assert ours.master == theirs.master
    assert count(ours, "worker_exit") == 1


@pytest.mark.parametrize("worker_class", CLASSES)
def test_a_hook_that_ends_its_worker_after_a_request_is_followed_as_by_gunicorn(story, until, worker_class):
    def end_one(program, so_far):
        assert program.get()
        until(lambda: count(so_far(), "child_exit") == 1 and count(so_far(), "post_worker_init") == 2)

    steps, files = (end_one, ended_by(signal.SIGTERM)), {"gunicorn.conf.py": CONFIGURATION + ENDS_ITS_WORKER}
    theirs = story("gunicorn", worker_class, files=files, steps=steps)
    ours = story("stablehand-server", worker_class, files=files, steps=steps)

    assert ours == theirs


def test_a_hook_that_fails_while_a_worker_boots_ends_the_server_as_gunicorn(story):
    files = {"gunicorn.conf.py": CONFIGURATION + FAILS_AT_BOOT}
    theirs = story("gunicorn", "sync", files=files)
    ours = story("stablehand-server", "sync", files=files)

    assert ours.workers == theirs.workers
    # gunicorn ends before it comes to child_exit, with which metrics of several processes clean up.
    assert [each for each in ours.master if not each.startswith("child_exit")] == theirs.master
    assert count(ours, "child_exit") == 1
