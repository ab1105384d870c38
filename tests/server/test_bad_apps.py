from __future__ import annotations

import json
import os
import signal

import pytest

pytestmark = pytest.mark.integration

WANTED = json.dumps({"workerClass": "gthread", "workers": 2, "threads": 4, "workerConnections": 1000})
AT_BOOT = {
    "the database's address is missing": "RuntimeError: the database's address is missing",
    "exit": "SystemExit: 7",
    "segfault": "it was killed by SIGSEGV",
    "hang": "it had not booted after 3 seconds (--boot-timeout)",
}
AT_RELOAD = {
    "no_such_module:app": "No module named 'no_such_module'",
    "serving:nothing": "Failed to find attribute 'nothing' in 'serving'",
    "serving:_FAULT": "Application object must be callable",
    "broken:app": "SyntaxError",
}


@pytest.fixture
def configuration(tmp_path):
    path = tmp_path / "gunicorn.conf.py"
    path.write_text("wsgi_app = 'serving:app'\n")
    (tmp_path / "broken.py").write_text("def app(:\n")
    return path


def rollbacks(server):
    return [line for line in server.log().splitlines() if "did not boot, back to sync 2" in line]


def test_no_app_that_fails_in_a_new_generation_fails_a_request_and_each_fault_is_named(launch, until):
    server = launch("--workers", "2", "--boot-timeout", "3")
    workers = server.workers()
    with server.load(8) as load:
        until(lambda: load.last().completed)
        for count, (fault, named) in enumerate(AT_BOOT.items(), 1):
            server.boot_fault.write_text(fault)
            server.write(WANTED + " " * count)  # another text with the same settings is another try
            until(lambda count=count: server.switches("rolled_back") == count)
            assert named in rollbacks(server)[-1]
            assert server.metric("settings_refused") == 1
        assert len(rollbacks(server)) == len(AT_BOOT)
        assert server.workers() == workers
        server.boot_fault.unlink()
        server.configure("gthread", 2, 4)
        result = load.stop()

    assert result.failures == {}, result.examples
    assert server.metric("settings_refused") == 0


def test_no_app_that_a_reload_names_wrongly_fails_a_request_and_each_fault_is_named(launch, until, configuration):
    server = launch("--workers", "2", app=f"--config={configuration}")
    workers = server.workers()
    with server.load(8) as load:
        until(lambda: load.last().completed)
        for count, (app, named) in enumerate(AT_RELOAD.items(), 1):
            configuration.write_text(f"wsgi_app = {app!r}\n")
            server.signal(signal.SIGHUP)
            until(lambda count=count: server.switches("rolled_back") == count)
            assert named in rollbacks(server)[-1]
        result = load.stop()

    assert result.failures == {}, result.examples
    assert server.workers() == workers
    assert server.metric("settings_refused") == 0


def test_an_app_that_does_not_boot_at_the_first_start_ends_the_server_with_its_fault(start, tmp_path):
    (tmp_path / "boot-fault").write_text("no table")
    server = start("--workers", "2")

    assert server.process.wait(timeout=20) == 3
    assert "RuntimeError: no table" in server.termination_log.read_text()


def test_a_server_whose_last_worker_does_not_boot_again_at_once_tries_for_a_while(launch, until):
    server = launch()
    server.boot_fault.write_text("a broken deployment")
    (worker,) = server.workers()
    until(lambda: server.settled(1))
    os.kill(worker, signal.SIGKILL)
    until(lambda: server.metric("worker_exits_total", reason="boot_failure") >= 2)
    server.boot_fault.unlink()
    until(lambda: server.readiness() == 200)
