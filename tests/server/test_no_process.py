"""fork answers EAGAIN or ENOMEM for a while, as at a limit of processes: what serves goes on, the rest comes later."""

from __future__ import annotations

import os
import signal

import pytest

pytestmark = pytest.mark.integration

# The superuser has no limit of processes: so the master's fork itself refuses, as long as the file is there.
NO_FORK = """
import errno, os
from pathlib import Path

_fork, _file = os.fork, Path("no-fork").absolute()

def fork():
    if _file.exists():
        number = int(_file.read_text())
        raise OSError(number, os.strerror(number))
    return _fork()

os.fork = fork
"""
EAGAIN, ENOMEM = "11", "12"


@pytest.mark.parametrize("fault", [EAGAIN, ENOMEM])
def test_a_master_that_cannot_fork_serves_on_and_starts_what_is_missing_later(launch, until, tmp_path, fault):
    (tmp_path / "gunicorn.conf.py").write_text(NO_FORK)
    server = launch("--workers", "2", "--autotune")
    until(lambda: len(server.children()) == 4)  # the probe of the worker classes has ended
    before, victim = server.children(), max(server.workers())
    (tmp_path / "no-fork").write_text(fault)
    for child in before - server.workers() | {victim}:  # exporter, tuner and a worker
        os.kill(child, signal.SIGKILL)
    for name in ("A worker", "The exporter", "The tuner"):
        until(lambda name=name: f"{name} cannot be started" in server.log())
    server.signal(signal.SIGUSR2)
    until(lambda: "A second master cannot be started" in server.log())

    assert server.get()[0] == 200
    (tmp_path / "no-fork").unlink()
    until(lambda: len(server.children()) == 4 and server.readiness() == 200 and server.settled(2))
    assert server.children() & before == server.workers() & before != set()


def test_a_server_that_cannot_fork_at_the_start_starts_all_of_it_later(start, until, tmp_path):
    (tmp_path / "gunicorn.conf.py").write_text(NO_FORK)
    (tmp_path / "no-fork").write_text(EAGAIN)
    server = start("--workers", "2", "--autotune")
    for name in ("A worker", "The exporter", "The tuner", "The probe"):
        until(lambda name=name: f"{name} cannot be started" in server.log())
    (tmp_path / "no-fork").unlink()

    until(lambda: server.readiness() == 200 and server.settled(2))
    until(lambda: any(name == "stablehand_available_worker_class_info" for name, _ in server.scrape()))


def test_a_second_master_that_cannot_be_executed_ends_alone(launch, until, tmp_path):
    (tmp_path / "gunicorn.conf.py").write_text("def pre_exec(server):\n    raise ValueError('not now')\n")
    server = launch("--workers", "2")
    workers = server.workers()
    server.signal(signal.SIGUSR2)
    until(lambda: "ValueError: not now" in server.log())
    server.signal(signal.SIGTTIN)
    until(lambda: server.settled(3))

    assert server.process.poll() is None
    assert workers < server.workers()
