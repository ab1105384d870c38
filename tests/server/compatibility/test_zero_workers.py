"""Zero workers, as a computed number of them may come out: gunicorn runs without any, and SIGTTIN brings some."""

from __future__ import annotations

import signal
import socket

import pytest

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("name", ["gunicorn", "stablehand-server"])
def test_a_server_starts_without_workers_and_gets_them_by_a_signal(run, until, commands, name):
    program = run("--workers", "0", command=commands[name])
    until(lambda: "Listening at" in program.log())
    until(lambda: not refused(program.port))
    program.process.send_signal(signal.SIGTTIN)
    until(program.get)
    program.process.send_signal(signal.SIGTERM)

    assert program.process.wait(timeout=20) == 0


@pytest.mark.parametrize("name", ["gunicorn", "stablehand-server"])
def test_a_reload_to_no_workers_ends_them_and_one_to_some_brings_them_back(run, until, commands, running, name):
    program = run(command=commands[name], files={"gunicorn.conf.py": "workers = 2\n"})
    until(program.get)
    until(lambda: len(running(program)) == 3)
    (program.directory / "gunicorn.conf.py").write_text("workers = 0\n")
    program.process.send_signal(signal.SIGHUP)
    until(lambda: running(program) == [program.process.pid])

    assert not refused(program.port)  # a client waits, as with gunicorn
    (program.directory / "gunicorn.conf.py").write_text("workers = 1\n")
    program.process.send_signal(signal.SIGHUP)
    until(lambda: len(running(program)) == 2 and program.get())


def refused(port):
    """Tell whether nobody listens at the port."""
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) != 0
