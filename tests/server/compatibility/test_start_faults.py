"""What keeps a server from starting is told where errors are logged, and by the command's exit status."""

from __future__ import annotations

import os
import re
import signal
import socket

import pytest

pytestmark = pytest.mark.integration

FAULTS = {
    "an address that is no address": (["--metrics-bind", "a:b"], "'a:b' is no address"),
    "a metrics port that is taken": (["--metrics-bind", "127.0.0.1:{taken}"], "the metrics cannot be served"),
    "a port that is taken": (["--bind", "127.0.0.1:{taken}"], "Can't connect to ('127.0.0.1', {taken})"),
    "a preloaded app that does not import": (["--preload"], "ValueError: not now"),
    "another server's pid file": (["--pid", "taken.pid"], "Already running on PID"),
    "a class that is none": (["--worker-class", "foo"], "foo"),
    "a certificate that is none": (["--certfile", "none.pem"], "none.pem"),
    "a hook that fails": (["--config", "failing.py"], "ZeroDivisionError"),
    "a parser that is not installed": (["--http-parser", "fast"], "needs the package gunicorn_h1c, which is not"),
}


@pytest.fixture
def taken():
    """A port at which somebody else listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.mark.parametrize("daemon", [(), ("--daemon",)])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_at_the_start_is_in_the_error_log_and_in_the_exit_status(run, *, taken, fault, daemon):
    flags, words = FAULTS[fault]
    files = {
        "taken.pid": str(os.getpid()),
        "failing.py": "def on_starting(server):\n    1 / 0\n",
        "hello.py": "raise ValueError('not now')\n",
        "gunicorn_h1c.py": "raise ImportError\n",
    }
    program = run("--error-logfile", "errors", *daemon, *(flag.format(taken=taken) for flag in flags), files=files)

    assert program.process.wait(timeout=60) == 1
    assert words.format(taken=taken) in (program.directory / "errors").read_text()
    if daemon:
        assert program.log().strip()  # by the command, on stderr, for whoever sits there


def test_a_folder_in_which_no_heartbeat_file_can_be_made_ends_the_server_as_with_gunicorn(run):
    program = run("--error-logfile", "errors", "--worker-tmp-dir", "/proc")

    assert program.process.wait(timeout=60) == 255
    assert "No such file or directory: '/proc/" in (program.directory / "errors").read_text()


@pytest.mark.parametrize("setting", ["logconfig_dict", "logger_class"])
def test_other_ways_to_log_have_it_too(run, taken, setting):
    handlers = "{'file': {'class': 'logging.FileHandler', 'filename': 'errors'}}"
    loggers = "{'gunicorn.error': {'handlers': ['file'], 'propagate': False}}"
    ways = {
        "logconfig_dict": (
            f"logconfig_dict = {{'root': {{'handlers': ['file']}}, 'handlers': {handlers}, 'loggers': {loggers}}}\n"
        ),
        "logger_class": (
            "from gunicorn.glogging import Logger\n\nerrorlog = 'none'\n\n\nclass logger_class(Logger):\n"
            "    def error(self, text, *arguments, **options):\n"
            "        open('errors', 'a').write(text % arguments)\n"
        ),
    }
    program = run("--daemon", "--metrics-bind", f"127.0.0.1:{taken}", files={"gunicorn.conf.py": ways[setting]})

    assert program.process.wait(timeout=60) == 1
    assert "the metrics cannot be served" in (program.directory / "errors").read_text()


def test_the_command_of_a_daemon_returns_when_it_listens_and_has_its_metrics(run, until, running):
    program = run("--daemon", "--error-logfile", "errors", "--metrics-bind", "auto")
    assert program.process.wait(timeout=60) == 0
    errors = (program.directory / "errors").read_text()
    (master,) = re.findall(r"Listening at: .*\((\d+)\)", errors)

    assert "Metrics at: " in errors
    with program.connect():  # at once
        pass
    os.kill(int(master), signal.SIGTERM)
    until(lambda: not running(program))


def test_a_daemon_that_is_killed_before_it_listens_is_a_failure(run):
    killed = "import os\n\ndef on_starting(server):\n    os.kill(os.getpid(), 9)\n"
    program = run("--daemon", files={"gunicorn.conf.py": killed})

    assert program.process.wait(timeout=60) == 1
    assert "the server ended before it listened" in program.log()


def test_a_configuration_with_a_class_that_is_none_fails_its_check_and_a_good_one_passes(run):
    bad, good = run("--check-config", "--worker-class", "foo"), run("--check-config", "--worker-class", "gthread")

    assert bad.process.wait(timeout=30) == 1
    assert "workerClass foo cannot be used" in bad.log()
    assert good.process.wait(timeout=30) == 0


def test_the_version_is_the_servers_own_and_gunicorns(run):
    program = run("--version")

    assert program.process.wait(timeout=30) == 0
    assert re.fullmatch(r"\S+ \(version 0\.\S+, gunicorn 27\.\S+\)", program.log().strip())
