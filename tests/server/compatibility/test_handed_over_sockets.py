"""Sockets that somebody else has made, and others may listen on: a server that ends leaves them as they were."""

from __future__ import annotations

import os
import signal
import socket
import sys

import pytest

pytestmark = pytest.mark.integration

CLASSES = ["sync", "gthread", "gevent", "eventlet", "tornado"]
NAMES = ["gunicorn", "stablehand-server"]
# What a program does that keeps the socket, and starts gunicorn as gunicorn starts its second master.
AS_SECOND_MASTER = """
import os, sys
descriptor, command = sys.argv[1], sys.argv[2:]
environment = {**os.environ, "GUNICORN_FD": descriptor, "GUNICORN_PID": str(os.getppid())}
os.execvpe(command[0], command, environment)
"""
# What systemd does: the descriptors from 3 on are listeners, and say so with the process's own id.
ACTIVATE = """
import os, sys
descriptor, command = int(sys.argv[1]), sys.argv[2:]
os.dup2(descriptor, 3)
os.execvpe(command[0], command, {**os.environ, "LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"})
"""


@pytest.fixture
def listener():
    """A socket that this process has made and keeps."""
    with socket.create_server(("127.0.0.1", 0)) as made:
        made.set_inheritable(True)
        yield made


def served(until, program, listener):
    """Wait until the program serves at the listener."""
    program.port = listener.getsockname()[1]
    until(lambda: "Booting worker" in program.log())
    until(program.get)


@pytest.mark.parametrize("way", ["fd", "systemd", "GUNICORN_FD"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_two_servers_share_a_socket_and_one_continues_when_the_other_ends(
    run, until, running, commands, *, listener, way, number
):
    descriptor = listener.fileno()
    command = commands["stablehand-server"]
    bind = f"fd://{descriptor}" if way == "fd" else ""
    if way != "fd":
        starter = ACTIVATE if way == "systemd" else AS_SECOND_MASTER
        command = (sys.executable, "-c", starter, str(descriptor), *command)
    first, second = (
        run("--worker-class", "gthread", command=command, bind=bind, pass_fds=[descriptor]) for _ in range(2)
    )
    for program in (first, second):
        served(until, program, listener)
    first.process.send_signal(number)
    assert first.process.wait(timeout=20) == 0
    until(lambda: not running(first))

    assert second.get()
    second.process.send_signal(number)
    assert second.process.wait(timeout=20) == 0
    with socket.create_connection(listener.getsockname(), timeout=5):  # waits for the next server
        pass


@pytest.mark.parametrize("worker_class", CLASSES)
def test_no_class_shuts_down_a_socket_that_was_handed_over_whether_it_reloads_or_ends(
    run, until, listener, worker_class
):
    program = run("--worker-class", worker_class, bind=f"fd://{listener.fileno()}", pass_fds=[listener.fileno()])
    served(until, program, listener)
    until(lambda: program.rolled(0))
    program.process.send_signal(signal.SIGHUP)
    until(lambda: program.rolled(1))
    assert program.get()
    program.process.send_signal(signal.SIGTERM)
    assert program.process.wait(timeout=20) == 0

    with socket.create_connection(listener.getsockname(), timeout=5):
        listener.settimeout(5)
        listener.accept()[0].close()


def test_the_file_of_a_unix_socket_that_was_handed_over_stays(run, until, over_unix, tmp_path):
    path = tmp_path / "theirs.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(64)
        program = run(bind=f"fd://{listener.fileno()}", pass_fds=[listener.fileno()])
        until(lambda: program.get(over_unix(path)))
        program.process.send_signal(signal.SIGTERM)
        assert program.process.wait(timeout=20) == 0

        assert path.is_socket()


def test_a_reload_to_an_address_of_its_own_leaves_the_socket_that_was_handed_over(run, until, listener):
    files = {"gunicorn.conf.py": f"bind = 'fd://{listener.fileno()}'\n"}
    program = run(bind="", files=files, pass_fds=[listener.fileno()])
    own = program.port
    served(until, program, listener)
    until(lambda: program.rolled(0))
    (program.directory / "gunicorn.conf.py").write_text(f"bind = '127.0.0.1:{own}'\n")
    program.process.send_signal(signal.SIGHUP)
    until(lambda: program.rolled(1))
    program.port = own

    until(program.get)
    with socket.create_connection(listener.getsockname(), timeout=5):
        listener.settimeout(5)
        listener.accept()[0].close()


@pytest.mark.parametrize("name", NAMES)
def test_a_second_master_that_ends_last_removes_the_file_that_the_first_one_made(
    run, until, over_unix, running, *, commands, name
):
    program = run(bind="unix:ours.sock", command=commands[name])
    path = program.directory / "ours.sock"
    until(lambda: program.get(over_unix(path)))
    first = program.process.pid
    program.process.send_signal(signal.SIGUSR2)
    until(lambda: program.log().count("Booting worker") == 2)
    (second,) = [pid for pid in running(program) if parent(pid) == first and children(pid)]
    program.process.send_signal(signal.SIGTERM)
    assert program.process.wait(timeout=20) == 0
    assert path.exists()
    until(lambda: "Master has been promoted" in program.log())

    assert program.get(over_unix(path))
    os.kill(second, signal.SIGTERM)
    until(lambda: not running(program))
    assert not path.exists()


def test_a_second_master_that_ends_first_leaves_the_first_ones_sockets(run, until, running):
    program = run().ready()
    first = program.process.pid
    program.process.send_signal(signal.SIGUSR2)
    until(lambda: program.log().count("Serving with") == 2)
    (second,) = [pid for pid in running(program) if parent(pid) == first and children(pid)]
    os.kill(second, signal.SIGTERM)
    until(lambda: second not in running(program))

    assert all(program.get() for _ in range(5))


def parent(pid):
    """Return the id of a process's parent."""
    with open(f"/proc/{pid}/stat") as file:  # noqa: PTH123 (no file of ours)
        return int(file.read().rpartition(")")[2].split()[1])


def children(pid):
    """Return the ids of a process's children."""
    with open(f"/proc/{pid}/task/{pid}/children") as file:  # noqa: PTH123 (no file of ours)
        return [int(child) for child in file.read().split()]
