from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import signal
import subprocess

import pytest

from stablehand_tuner.contracts.settings import WorkerClass

pytestmark = pytest.mark.integration


def assert_never_falling(before, after):
    for key, value in before.items():
        assert after[key] >= value, key


@pytest.mark.parametrize("worker_class", [each.value for each in WorkerClass])
def test_a_killed_worker_is_replaced_and_no_counter_falls(launch, until, worker_class):
    server = launch(
        "--workers", "2", "--worker-class", worker_class, "--threads", "1" if worker_class == "sync" else "4"
    )
    victim = min(server.workers())
    with server.load(8) as load:
        until(lambda: load.last().completed)
        before = server.counters()
        os.kill(victim, signal.SIGKILL)

        def recovered():
            nonlocal before
            after = server.counters()
            assert_never_falling(before, after)
            before = after
            return victim not in server.workers() and server.settled(2)

        until(recovered)
        served = len(load.series)
        until(lambda: len(load.series) > served + 1)
        assert load.last().completed
        result = load.stop()

    # Each client has at most one request in flight, and only the killed process loses any: an answer, or its count.
    assert result.failed <= 8, result.examples
    assert set(result.failures) <= {"reset", "eof_before_response", "eof_within_response"}
    assert result.completed > 20
    assert server.metric("worker_exits_total", reason="signal") == 1
    until(lambda: server.metric("request_duration_seconds_count") >= result.completed - 8)


def test_a_killed_exporter_comes_back_while_no_request_fails(launch, until):
    server = launch("--workers", "2")
    with server.load(8) as load:
        until(lambda: load.last().completed)
        before = server.counters()
        until(lambda: len(server.children()) == 3)  # the probe of the worker classes has ended
        (exporter,) = server.children() - server.workers()
        os.kill(exporter, signal.SIGKILL)
        until(lambda: exporter not in server.children() and server.readiness() == 200)
        assert_never_falling(before, server.counters())
        result = load.stop()

    assert result.failures == {}, result.examples
    assert server.switches("rolled_back") == 0
    (again,) = server.children() - server.workers()
    assert again != exporter


def test_a_worker_that_stops_beating_is_replaced(launch, until):
    server = launch("--workers", "1", "--timeout", "2")
    (victim,) = server.workers()
    os.kill(victim, signal.SIGSTOP)
    until(lambda: server.metric("worker_exits_total", reason="timeout") == 1)
    until(lambda: server.settled(1))

    assert victim not in server.workers()
    assert server.get()[0] == 200


def test_a_worker_that_has_served_its_requests_is_replaced_under_the_same_index(launch, until):
    server = launch("--workers", "2", "--max-requests", "20")
    with server.load(4, query="?0.005") as load:
        until(lambda: server.metric("worker_exits_total", reason="max_requests") >= 3)
        result = load.stop()

    assert result.failures == {}, result.examples
    until(lambda: server.settled(2))
    until(lambda: server.total("worker_requests_total", code="2xx") == result.completed)


def test_any_worker_and_the_exporter_may_be_killed_again_and_again(launch, until):
    server = launch("--workers", "3", "--worker-class", "gthread", "--threads", "4")
    chance = random.Random(26)  # noqa: S311 (any order will do, the same each time)
    counted = server.counters()
    killed = 0
    with server.load(8) as load:
        until(lambda: load.last().completed)
        for round_ in range(6):
            until(lambda: server.settled(3) and len(server.children()) == 4)
            (exporter,) = server.children() - server.workers()
            victims = [chance.choice(sorted(server.workers()))] if round_ % 3 else [exporter]
            killed += victims != [exporter]
            for victim in victims:
                os.kill(victim, signal.SIGKILL)
            until(lambda victims=victims: not server.children().intersection(victims) and server.readiness() == 200)
            assert_never_falling(counted, counted := server.counters())
        until(lambda: server.settled(3))
        result = load.stop()

    assert result.failed <= 8 * killed, result.examples
    assert server.metric("worker_exits_total", reason="signal") == killed
    until(lambda: server.metric("request_duration_seconds_count") >= result.completed - 8 * killed)


def run(*command):
    subprocess.run(command, check=True, capture_output=True)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of a few files; only root may make one."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a file system")
    directory = tmp_path / "heartbeats"
    directory.mkdir()
    run("mount", "-t", "tmpfs", "-o", "size=64k,nr_inodes=8", "tmpfs", str(directory))
    yield directory
    run("umount", "--lazy", str(directory))


@contextlib.contextmanager
def full(directory):
    """Take every file that the disk has left."""
    with contextlib.suppress(OSError):
        for number in itertools.count():
            (directory / f"filler-{number}").touch()
    yield
    for filler in directory.glob("filler-*"):
        filler.unlink()


@contextlib.contextmanager
def read_only(directory):
    """Put a disk over it that cannot be written to."""
    run("mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(directory))
    yield
    run("umount", "--lazy", str(directory))


@pytest.mark.parametrize(("broken", "named"), [(full, "No space left on device"), (read_only, "Read-only file system")])
def test_while_no_heartbeat_file_can_be_made_what_serves_goes_on_and_then_all_recovers(
    launch, until, small_disk, broken, named
):
    server = launch("--workers", "3", "--worker-tmp-dir", str(small_disk))
    until(lambda: server.settled(3))
    with server.load(8) as load:
        until(lambda: load.last().completed)
        before = server.counters()
        with broken(small_disk):
            fields = {"workerClass": "gthread", "workers": 3, "threads": 4, "workerConnections": 1000}
            server.write(json.dumps(fields))
            until(lambda: "A worker cannot be started" in server.log())
            os.kill(min(server.workers()), signal.SIGKILL)
            until(lambda: server.metric("worker_exits_total", reason="signal") == 1)
            served = len(load.series)
            until(lambda: len(load.series) > served + 2)
            assert load.last().completed
        until(lambda: server.active() == ("gthread", 3, 4) and server.settled(3), seconds=40)
        assert_never_falling(before, server.counters())
        result = load.stop()

    assert named in server.log()
    assert result.failed <= 8, result.examples
    assert server.switches("done") == 1


def test_a_heartbeat_folder_that_is_gone_does_not_end_the_server(launch, until, tmp_path):
    folder = tmp_path / "heartbeats"
    folder.mkdir()
    server = launch("--workers", "2", "--worker-tmp-dir", str(folder))
    until(lambda: server.settled(2))
    folder.rmdir()
    os.kill(min(server.workers()), signal.SIGKILL)
    until(lambda: f"{folder} doesn't exist" in server.log())
    assert server.get()[0] == 200
    folder.mkdir()
    until(lambda: server.settled(2))


@pytest.mark.parametrize(
    "hook", ["pre_fork(server, worker)", "child_exit(server, worker)", "nworkers_changed(s, n, o)"]
)
def test_a_hook_that_fails_later_does_not_end_the_server(launch, until, tmp_path, hook):
    fault = tmp_path / "fault"
    (tmp_path / "gunicorn.conf.py").write_text(
        f"import os\ndef {hook}:\n    if os.path.exists({str(fault)!r}):\n        raise ValueError('a hook')\n"
    )
    server = launch("--workers", "2")
    until(lambda: server.settled(2))
    fault.touch()
    os.kill(min(server.workers()), signal.SIGKILL)
    server.signal(signal.SIGTTIN)
    # of two signals that are pending the kernel delivers SIGHUP first
    until(lambda: "a hook" in server.log() and "Handling signal: ttin" in server.log())
    server.signal(signal.SIGHUP)
    until(lambda: "Handling signal: hup" in server.log())
    assert server.get()[0] == 200
    fault.unlink()
    until(lambda: server.switches("done") and server.settled(2))
