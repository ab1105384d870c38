from __future__ import annotations

import os
import signal
import socket
import time

import pytest
from gunicorn.ctl.protocol import ControlProtocol, make_request

pytestmark = pytest.mark.integration

CLASSES = ["sync", "gthread", "gevent"]
VERSION = """
def app(environ, start_response):
    start_response("200 OK", [])
    return [b"{}"]
"""


@pytest.mark.parametrize("worker_class", CLASSES)
def test_with_reload_changed_code_is_served_soon(run, until, worker_class):
    program = run("--reload", "--worker-class", worker_class, files={"hello.py": VERSION.format("first")}).ready()
    assert program.get() == "first"

    until(lambda: answers_once_saved(program, VERSION.format("the second one"), "the second one"))


def test_with_reload_an_app_that_is_broken_for_a_while_does_not_end_the_server(run, until, commands):
    for command in commands.values():
        program = run("--reload", command=command, files={"hello.py": VERSION.format("first")}).ready()
        # told to the developer, and watched again
        until(lambda program=program: answers_once_saved(program, "an error of syntax\n", "SyntaxError"))
        until(lambda program=program: answers_once_saved(program, VERSION.format("mended"), "mended"))


def answers_once_saved(program, text, word):
    """Save the app, and tell whether it soon answers with a word: before its first look, gunicorn notices no save."""
    (program.directory / "hello.py").write_text(text)
    deadline = time.monotonic() + 3
    while time.monotonic() < deadline and word not in program.get():
        time.sleep(0.05)
    return word in program.get()


def test_with_preload_the_app_is_loaded_once_by_the_master_and_not_again_at_a_reload(run, until):
    loading = "import os\nwith open('loads', 'a') as file:\n    file.write(f'{os.getpid()}\\n')\n"
    program = run("--preload", "--workers", "3", files={"hello.py": loading + VERSION.format("here")}).ready()
    program.process.send_signal(signal.SIGHUP)
    until(lambda: program.rolled(1))

    assert (program.directory / "loads").read_text().split() == [str(program.process.pid)]


@pytest.mark.parametrize("worker_class", CLASSES)
def test_a_worker_goes_after_max_requests_and_no_request_fails(run, until, worker_class):
    program = run("--max-requests", "5", "--max-requests-jitter", "2", "--worker-class", worker_class).ready()
    answers = set()

    def third_worker_answers():
        answer = program.get()
        assert answer
        answers.add(answer)
        return len(answers) >= 3

    until(third_worker_answers)


@pytest.mark.parametrize("worker_class", [*CLASSES, "tornado", "asgi"])
def test_no_worker_outlives_a_master_that_is_killed(run, until, running, worker_class):
    program = run("--workers", "2", "--worker-class", worker_class).ready()
    program.process.kill()
    program.process.wait()

    until(lambda: not running(program))


def test_gevent_has_patched_the_standard_library_before_the_app_is_loaded(run):
    app = "import socket, threading\n\nSEEN = f'{socket.socket.__module__} {threading.Lock().__class__.__module__}'\n"
    app += VERSION.replace('b"{}"', "SEEN.encode()")
    program = run("--worker-class", "gevent", files={"hello.py": app}).ready()

    assert program.get().split() == ["gevent._socket3", "gevent.thread"]


@pytest.fixture
def statsd():
    """Return an address, and a way to take what has come to it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.setblocking(False)
        taken: set[str] = set()

        def kinds():
            while True:
                try:
                    name, _, rest = server.recv(4096).decode().partition(":")
                except BlockingIOError:
                    return taken
                taken.add(f"{name}|{rest.partition('|')[2]}")

        yield f"127.0.0.1:{server.getsockname()[1]}", kinds


def test_statsd_gets_all_that_gunicorn_sends(run, until, commands, statsd):
    address, kinds = statsd
    told = {}
    for name in ("gunicorn", "stablehand-server"):
        program = run("--statsd-host", address, "--enable-backlog-metric", "--workers", "2", command=commands[name])
        program.ready()
        until(lambda: {"gunicorn.requests|c|@1.0", "gunicorn.workers|g", "gunicorn.backlog|h"} <= kinds())
        program.process.send_signal(signal.SIGTERM)
        program.process.wait(timeout=20)
        told[name] = {*kinds()}
        kinds().clear()

    assert told["gunicorn"] <= told["stablehand-server"]


def test_the_control_socket_shows_and_does_what_gunicorns_does(run, until, running):
    program = run("--control-socket", "control", "--workers", "2").ready()

    def told(command):
        """Send a command; the socket is away for moments, while a worker is forked."""
        with socket.socket(socket.AF_UNIX) as control:
            control.settimeout(10)
            try:
                control.connect(str(program.directory / "control"))
                ControlProtocol.write_message(control, make_request(1, command))
            except (ConnectionError, FileNotFoundError):
                return None
            try:
                return ControlProtocol.read_message(control)["data"]
            except ConnectionError:
                return {}  # done, or not: what follows shows

    def ask(command):
        answers = []
        until(lambda: answers.append(told(command)) or answers[-1] is not None)
        return answers[-1]

    def workers():
        return {*running(program)} - {program.process.pid}

    until(lambda: {worker["pid"] for worker in ask("show workers").get("workers", ())} == workers())
    first = workers()
    ask("worker add 2")
    until(lambda: len(workers()) == 4)
    until(lambda: ask("show stats").get("workers_target") == 4)
    ask("worker remove 3")
    until(lambda: len(workers()) == 1)
    (worker,) = workers()
    assert worker not in first  # the oldest go
    ask(f"worker kill {worker}")
    until(lambda: len(workers()) == 1 and worker not in workers())
    ask("reload")
    until(lambda: "Serving with sync 2" in program.log().partition("Hang up")[2])
    ask("shutdown")
    assert program.process.wait(timeout=20) == 0


def test_usr1_reopens_the_log_files(run, until):
    program = run("--error-logfile", "error.log", "--access-logfile", "access.log").ready()
    for name in ("error.log", "access.log"):
        (program.directory / name).rename(program.directory / f"{name}.1")
    os.kill(program.process.pid, signal.SIGUSR1)
    until((program.directory / "access.log").exists)

    def written():
        program.get()
        return (program.directory / "access.log").read_text()

    until(written)
