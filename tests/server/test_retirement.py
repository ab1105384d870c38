from __future__ import annotations

import contextlib
import http.client
import os
import signal
import subprocess
import threading

import pytest

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("settings", [("sync", 1), ("gthread", 1, 4), ("gevent", 1)])
def test_a_worker_that_does_not_come_to_an_end_is_ended_after_the_graceful_timeout(launch, until, settings):
    server = launch("--timeout", "0", "--graceful-timeout", "2")
    server.configure(*settings)
    (stuck,) = server.workers()
    endless = threading.Thread(target=ask_in_vain, args=(server, "/?60"))
    endless.start()
    until(lambda: server.metric("worker_busy_slots", worker="0") == 1)

    server.configure("gthread", 1, 2)

    endless.join(timeout=10)
    assert not endless.is_alive()
    assert stuck not in server.workers()


@pytest.mark.parametrize("worker_class", ["sync", "gthread", "gevent"])
def test_workers_that_have_served_enough_requests_are_replaced_without_a_failed_one(launch, until, worker_class):
    server = launch("--max-requests", "100", "--max-requests-jitter", "50")
    server.configure(worker_class, 2, 2 if worker_class == "gthread" else 1)
    with server.load(16, query="?0.005") as load:
        until(lambda: server.metric("worker_exits_total", reason="max_requests") >= 6)
        result = load.stop()
    assert result.failures == {}, result.examples
    assert server.metric("worker_exits_total", reason="error") == 0


def test_a_reload_that_is_rolled_back_leaves_the_former_app_for_later_workers_too(launch, until, tmp_path):
    configuration = tmp_path / "gunicorn.conf.py"
    configuration.write_text("wsgi_app = 'serving:app'\nraw_env = ['STAGE=first']\n")
    server = launch("--workers", "1", app=f"--config={configuration}")  # an app on the command line would win
    (first,) = server.workers()

    configuration.write_text("wsgi_app = 'no_such_module:app'\nraw_env = ['STAGE=second']\n")
    server.signal(signal.SIGHUP)
    until(lambda: server.switches("rolled_back") + server.switches("done") + server.switches("rejected"))
    os.kill(first, signal.SIGKILL)

    until(lambda: server.workers() not in (set(), {first}) and server.settled(1))
    assert server.get()[0] == 200


def test_a_preloaded_app_that_does_not_import_tells_kubernetes_why(start):
    server = start("--preload", app="no_such_module:app")
    assert server.process.wait(timeout=20) != 0
    assert server.termination_log.read_text() == "ModuleNotFoundError: No module named 'no_such_module'"


def test_more_workers_than_can_be_measured_are_refused_at_the_start(start):
    server = start("--workers", "5000")
    try:
        assert server.process.wait(timeout=20) != 0
    except subprocess.TimeoutExpired:
        pytest.fail("it started")
    assert "workers is 5000, but must be at most 1024" in server.log()


def ask_in_vain(server, path):
    """Ask for what never comes: however the connection ends is all right."""
    with contextlib.suppress(OSError, http.client.HTTPException):
        server.get(path)
