from __future__ import annotations

import json
import os
import signal

import pytest

pytestmark = pytest.mark.integration

WANTED = json.dumps({"workerClass": "gthread", "workers": 2, "threads": 4, "workerConnections": 1000})


def test_a_new_generation_whose_app_does_not_import_is_rolled_back_without_a_failed_request(launch, until):
    server = launch("--workers", "2")
    workers = server.workers()
    with server.load(8) as load:
        until(lambda: load.last().completed)
        server.boot_fault.write_text("the database's address is missing")
        server.write(WANTED)
        until(lambda: server.switches("rolled_back") == 1)
        served = len(load.series)
        until(lambda: len(load.series) > served + 2)
        result = load.stop()

    assert result.failures == {}, result.examples
    assert server.workers() == workers
    assert server.active() == ("sync", 2, 1)
    assert server.metric("setting", name="threads", kind="desired") == 4
    assert server.metric("worker_exits_total", reason="boot_failure") == 1
    assert server.switches("rolled_back") == 1
    (line,) = [line for line in server.log().splitlines() if "did not boot, back to sync 2" in line]
    assert "RuntimeError: the database's address is missing" in line


def test_after_a_rollback_the_next_settings_are_followed(launch, until):
    server = launch("--workers", "1")
    server.boot_fault.write_text("not today")
    server.write(WANTED)
    until(lambda: server.switches("rolled_back") == 1)
    server.boot_fault.unlink()
    server.configure("gthread", 3, 4)

    assert server.switches("done") == 1


def test_a_worker_that_hangs_while_it_boots_is_rolled_back(launch, until):
    server = launch("--workers", "2", "--boot-timeout", "2")
    workers = server.workers()
    with server.load(8) as load:
        until(lambda: load.last().completed)
        server.boot_fault.write_text("hang")
        server.write(WANTED)
        until(lambda: server.switches("rolled_back") == 1)
        until(lambda: server.workers() == workers)
        result = load.stop()

    assert result.failures == {}, result.examples
    assert server.metric("worker_exits_total", reason="timeout") == 1
    assert server.active() == ("sync", 2, 1)


def test_a_worker_that_hangs_while_it_boots_and_catches_its_end_is_never_ready_in_any_class(launch, until):
    server = launch("--workers", "1", "--threads", "2", "--worker-class", "gthread", "--boot-timeout", "3")
    workers = server.workers()
    server.boot_fault.write_text("cling")
    clinging = server.directory / "boot-clings"
    with server.load(2) as load:
        until(lambda: load.last().completed)
        classes = ["sync", "gthread", "gevent", "eventlet", "tornado", "asgi"]
        for count, worker_class in enumerate(classes, 1):
            # of the class that runs only one more worker is a new process
            number = 2 if worker_class == "gthread" else 1
            fields = {"workerClass": worker_class, "workers": number, "threads": number, "workerConnections": 1000}
            server.write(json.dumps(fields))
            until(lambda count=count: server.switches("rolled_back") == count)
            until(lambda: server.workers() == workers)
            # the others may take longer to import than they have, and asgi's loop has taken the signal over
            assert clinging.exists() or worker_class not in {"sync", "gthread"}
            clinging.unlink(missing_ok=True)
        result = load.stop()

    assert result.failures == {}, result.examples
    assert server.switches("done") == 0
    assert server.metric("worker_exits_total", reason="timeout") == len(classes)
    assert server.active() == ("gthread", 1, 2)


def test_new_settings_while_a_worker_hangs_in_its_boot_are_followed_at_once(launch, until):
    server = launch("--workers", "1", "--boot-timeout", "60")
    server.boot_fault.write_text("hang")
    server.write(WANTED)
    until((server.directory / "boot-hangs").exists)
    server.boot_fault.unlink()
    server.configure("sync", 2)

    assert server.switches("rolled_back") == 0


def test_a_first_start_that_fails_ends_the_server_and_leaves_the_errors_last_line(start, tmp_path):
    (tmp_path / "boot-fault").write_text("no such table: users")
    server = start("--workers", "2")

    assert server.process.wait(timeout=20) != 0
    assert "RuntimeError: no such table: users" in server.termination_log.read_text()
    assert "RuntimeError: no such table: users" in server.log()


def test_an_app_that_is_not_there_ends_the_server_with_its_name(start):
    server = start(app="nowhere:app")

    assert server.process.wait(timeout=20) != 0
    assert "nowhere" in server.termination_log.read_text()


def test_a_worker_that_cannot_boot_again_leaves_the_others_serving(launch, until):
    server = launch("--workers", "2")
    victim, survivor = sorted(server.workers())
    server.boot_fault.write_text("a broken deployment")
    os.kill(victim, signal.SIGKILL)
    until(lambda: server.metric("worker_exits_total", reason="boot_failure") >= 2)
    assert server.get() == (200, str(survivor))
    server.boot_fault.unlink()
    until(lambda: server.settled(2), seconds=30)
