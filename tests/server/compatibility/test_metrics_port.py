"""The metrics' port, and who else may want it: other servers, the app, and hooks, which under gunicorn have it all."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import signal
import socket
import sys

import pytest

pytestmark = pytest.mark.integration

# Our command with another default port: that of the contract may be taken by other servers of this machine.
START = """
import sys
from stablehand_server import cli
from stablehand_server.config import metrics_address

metrics_address.DEFAULT_METRICS_PORT = int(sys.argv.pop(1))
cli.main()
"""
BINDING_APP = """
import socket

_listener = socket.create_server(("", {port}))

def app(environ, start_response):
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
"""
BINDING_HOOK = """
import socket

def {hook}({arguments}):
    global listener
    listener = socket.create_server(("127.0.0.1", {port}))
"""
HOOKS = {"on_starting": "server", "when_ready": "server", "post_fork": "server, worker", "post_worker_init": "worker"}


@pytest.fixture
def default():
    """A port that is free, and whose successors are as well, as a rule."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


@pytest.fixture
def ours(default):
    """Our command, with that default port."""
    return (sys.executable, "-c", START, str(default))


@contextlib.contextmanager
def answered(port, path="/readyz"):
    """Ask for a path at a port, and yield the response."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    with contextlib.closing(connection):
        connection.request("GET", path)
        yield connection.getresponse()


def is_ready(port):
    """Tell whether the exporter answers there, and says that the server is ready."""
    with contextlib.suppress(OSError, http.client.HTTPException), answered(port) as response:
        return response.status == 200 and response.headers["Server"].strip() == "stablehand-server"
    return False


def metrics_ports(program):
    """Return where the metrics have been, by the log; the last one is where they are."""
    return [int(port) for port in re.findall(r"Metrics at: http://\S+:(\d+)/metrics", program.log())]


def test_a_second_server_takes_the_next_port_if_none_is_named_and_logs_it(run, until, ours, default):
    first, second = run(command=ours).ready(), run(command=ours).ready()
    (own,), (other,) = metrics_ports(first), metrics_ports(second)

    assert own == default
    assert other > own
    assert f"Port {own} is taken: the metrics are at port {other}" in second.log()
    until(lambda: is_ready(own) and is_ready(other))


def test_the_tuner_follows_to_the_port_that_was_taken(run, until, ours, default):
    with socket.create_server(("127.0.0.1", default)):
        program = run("--autotune", command=ours).ready()
        until(lambda: "autotune: hold" in program.log())


def test_a_port_that_is_asked_for_and_taken_ends_the_start_with_a_sentence(run, default):
    with socket.create_server(("127.0.0.1", default)):
        program = run("--metrics-bind", f"127.0.0.1:{default}")

        assert program.process.wait(timeout=20) == 1
    assert f"the metrics cannot be served at 127.0.0.1:{default} (Address already in use)" in program.log()
    assert "choose another address with --metrics-bind" in program.log()


def test_an_app_that_serves_at_the_default_port_itself_is_served_there(run, until, ours, default):
    program = run(command=ours, bind=f"127.0.0.1:{default}")
    program.port = default
    until(program.get)

    (port,) = metrics_ports(program)
    assert port != default
    until(lambda: is_ready(port))


@pytest.mark.parametrize("name", ["gunicorn", "stablehand-server"])
@pytest.mark.parametrize("preload", [(), ("--preload",)])
def test_an_app_that_binds_the_default_port_at_import_is_served_and_the_metrics_move(
    run, until, commands, *, ours, default, name, preload
):
    command = ours if name == "stablehand-server" else commands[name]
    program = run(*preload, command=command, files={"hello.py": BINDING_APP.format(port=default)})
    until(program.get)
    if name == "gunicorn":
        return

    until(lambda: metrics_ports(program)[-1:] not in ([], [default]))
    until(lambda: is_ready(metrics_ports(program)[-1]))
    assert "exporter" not in program.log()  # it has not died


@pytest.mark.parametrize("hook", HOOKS)
def test_a_hook_that_binds_the_default_port_has_it(run, until, *, ours, default, hook):
    files = {"gunicorn.conf.py": BINDING_HOOK.format(hook=hook, arguments=HOOKS[hook], port=default)}
    program = run(command=ours, files=files).ready()

    until(lambda: metrics_ports(program)[-1:] not in ([], [default]))
    until(lambda: is_ready(metrics_ports(program)[-1]))


@pytest.mark.parametrize("hook", ["when_ready", "post_fork"])
def test_a_port_that_was_asked_for_is_never_anybody_elses_also_while_the_exporter_starts_again(
    run, until, running, *, default, hook
):
    binding = BINDING_HOOK.format(hook=hook, arguments=HOOKS[hook], port=default).replace(
        "    listener =", "    with suppress(OSError): listener ="
    )
    files = {"gunicorn.conf.py": "from contextlib import suppress\n" + binding}
    program = run("--metrics-bind", f"127.0.0.1:{default}", files=files).ready()
    until(lambda: is_ready(default))
    for _ in range(2):
        (exporter,) = [pid for pid in running(program) if listens(pid, default) and pid != program.process.pid]
        os.kill(exporter, signal.SIGKILL)
        with pytest.raises(OSError, match="in use"):
            socket.create_server(("127.0.0.1", default))
        assert is_ready(default)  # waits for the next exporter


def test_hup_moves_the_metrics_switches_them_off_and_on_and_refuses_what_is_taken(run, until, default):
    file = "gunicorn.conf.py"
    program = run(command=(sys.executable, "-m", "stablehand_server"), files={file: f"metrics_bind = {default}\n"})
    until(program.get)
    until(lambda: is_ready(default))

    def reloaded(address):
        (program.directory / file).write_text(f"metrics_bind = {address!r}\n")
        program.process.send_signal(signal.SIGHUP)

    with socket.create_server(("127.0.0.1", 0)) as taken:
        other = taken.getsockname()[1]
        reloaded(f"127.0.0.1:{other}")
        until(
            lambda: (
                f"Settings refused, nothing changes: the configuration cannot be reloaded: the metrics cannot be "
                f"served at 127.0.0.1:{other}" in program.log()
            )
        )
        assert is_ready(default)
    reloaded(f"127.0.0.1:{other}")
    until(lambda: is_ready(other))
    assert not is_ready(default)
    reloaded("none")
    until(lambda: not is_ready(other))
    reloaded(f"127.0.0.1:{default}")
    until(lambda: is_ready(default))


def test_metrics_that_a_failed_reload_has_moved_come_back(run, until, default):
    file = "gunicorn.conf.py"
    program = run(command=(sys.executable, "-m", "stablehand_server"), files={file: f"metrics_bind = {default}\n"})
    until(lambda: is_ready(default))
    until(lambda: program.rolled(0))
    with socket.create_server(("127.0.0.1", 0)) as probe:
        other = probe.getsockname()[1]
    (program.directory / file).write_text(f"metrics_bind = '127.0.0.1:{other}'\nwsgi_app = 'nothing:app'\n")
    (program.directory / "hello.py").write_text("raise ValueError('not now')\n")
    program.process.send_signal(signal.SIGHUP)
    until(lambda: "did not boot, back to" in program.log())

    until(lambda: is_ready(default))
    assert metrics_ports(program) == [default, other, default]
    assert not is_ready(other)


def test_a_second_master_serves_the_metrics_when_the_first_one_has_ended_with_no_refused_probe(run, until, default):
    program = run("--metrics-bind", f"127.0.0.1:{default}").ready()
    until(lambda: is_ready(default))
    program.process.send_signal(signal.SIGUSR2)
    until(lambda: program.log().count("Serving with") == 2)
    program.process.send_signal(signal.SIGTERM)
    while program.process.poll() is None:
        with answered(default, "/healthz") as response:
            assert response.status == 200

    until(lambda: is_ready(default))
    assert "cannot be served" not in program.log()


def listens(pid, port):
    """Tell whether the process has a socket open that listens at the port."""
    with open(f"/proc/{pid}/net/tcp") as file:  # noqa: PTH123 (no file of ours)
        rows = [line.split() for line in file.readlines()[1:]]
    inodes = {f"socket:[{row[9]}]" for row in rows if int(row[1].split(":")[1], 16) == port and row[3] == "0A"}
    with contextlib.suppress(OSError):
        links = (os.readlink(f"/proc/{pid}/fd/{number}") for number in os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH115, PTH208
        return any(link in inodes for link in links)
    return False
