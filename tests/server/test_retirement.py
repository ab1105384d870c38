from __future__ import annotations

import contextlib
import http.client
import os
import signal
import subprocess
import threading

import pytest

pytestmark = pytest.mark.integration


SETTINGS = [("sync", 1), ("gthread", 1, 4), ("gevent", 1), ("eventlet", 1), ("tornado", 1), ("asgi", 1, 4)]
every_class = pytest.mark.parametrize("settings", SETTINGS, ids=[settings[0] for settings in SETTINGS])


def another(settings):
    """Return settings that need other processes."""
    return ("sync", 1) if settings[0] == "gthread" else ("gthread", 1, 2)


HOOKS = """
import atexit
from pathlib import Path

def post_worker_init(worker):
    atexit.register(Path("atexit").touch)

def worker_exit(server, worker):
    Path("worker_exit").touch()

def child_exit(server, worker):
    Path("child_exit").touch()
"""


@every_class
def test_a_change_waits_for_a_request_that_takes_longer_than_every_time_limit(launch, until, asking, settings):
    server = launch("--timeout", "0", "--graceful-timeout", "1", "--keep-alive", "1")
    server.configure(*settings)
    asked = asking(server, "/?5")
    until(lambda: server.metric("worker_busy_slots", worker="0") == 1 or settings[0] == "tornado")

    server.configure(*another(settings))

    assert asked() == 200
    assert "CRITICAL" not in server.log()
    assert server.metric("worker_exits_total", reason="timeout") == 0


@every_class
def test_a_worker_that_a_change_replaces_is_ended_after_the_retire_timeout_if_there_is_one(
    launch, until, asking, settings
):
    server = launch("--timeout", "0", "--graceful-timeout", "60", "--retire-timeout", "1")
    server.configure(*settings)
    (stuck,) = server.workers()
    asked = asking(server, "/?60")
    until(lambda: server.metric("worker_busy_slots", worker="0") == 1 or settings[0] == "tornado")

    server.configure(*another(settings))

    assert asked() != 200
    assert stuck not in server.workers()
    assert "CRITICAL" not in server.log()
    assert server.metric("worker_exits_total", reason="timeout") == 0


@every_class
def test_what_a_worker_does_at_its_exit_is_done_when_the_server_ends_with_a_request_in_flight(
    launch, until, asking, tmp_path, settings
):
    (tmp_path / "gunicorn.conf.py").write_text(HOOKS)
    flags = ("--timeout", "0", "--graceful-timeout", "1")
    server = launch(*flags)
    server.configure(*settings)
    done = [tmp_path / name for name in ("atexit", "worker_exit", "child_exit")]
    for file in done:
        file.unlink(missing_ok=True)  # those of the first workers
    asking(server, "/?60")
    until(lambda: server.metric("worker_busy_slots", worker="0") == 1 or settings[0] == "tornado")

    server.signal(signal.SIGTERM)

    assert server.process.wait(timeout=20) == 0
    assert [file.name for file in done if not file.exists()] == []
    assert "CRITICAL" not in server.log()


def test_a_worker_that_retires_because_of_a_change_has_the_graceful_timeout_once_the_server_ends(launch, until, asking):
    server = launch("--timeout", "0", "--graceful-timeout", "6")
    server.configure("gthread", 1, 4)
    soon, never = asking(server, "/?4"), asking(server, "/?60")
    until(lambda: server.metric("worker_busy_slots", worker="0") == 2)
    server.signal(signal.SIGHUP)
    until(lambda: server.switches("done") == 2 and server.metric("workers", state="retiring") == 1)

    server.signal(signal.SIGTERM)

    assert server.process.wait(timeout=20) == 0
    assert soon() == 200
    assert never() != 200


def test_a_worker_that_somebody_else_ends_has_a_successor_at_once_and_finishes_its_requests(launch, until, asking):
    server = launch("--timeout", "0", "--graceful-timeout", "1")
    server.configure("gthread", 1, 4)
    (worker,) = server.workers()
    asked = asking(server, "/?5")
    until(lambda: server.metric("worker_busy_slots", worker="0") == 1)

    os.kill(worker, signal.SIGTERM)

    until(lambda: server.metric("workers", state="retiring") == server.metric("workers", state="ready") == 1)
    assert server.get()[0] == 200
    assert asked() == 200
    until(lambda: server.settled(1))


def test_all_workers_are_replaced_though_each_has_a_long_request(launch, until, asking):
    server = launch("--graceful-timeout", "1", "--keep-alive", "1", "--worker-class", "gevent", "--workers", "3")
    asked = []

    def each_worker_has_one():
        asked.append(asking(server, "/?15"))  # whichever worker accepts it
        until(lambda: server.total("worker_busy_slots") == len(asked))
        return all(server.metric("worker_busy_slots", worker=str(index)) for index in range(3))

    until(each_worker_has_one)
    before = server.workers()

    server.signal(signal.SIGHUP)

    until(lambda: server.switches("done") == 1)
    assert server.metric("workers", state="ready") == 3
    assert before <= server.workers()
    assert {each() for each in asked} == {200}
    until(lambda: server.settled(3))
    assert server.total("worker_requests_total", code="2xx") == len(asked)


def test_at_the_retire_limit_a_change_waits_and_both_old_and_new_requests_are_served(launch, until, asking):
    server = launch("--graceful-timeout", "1", "--retire-limit", "1")
    server.configure("gthread", 1, 4)
    first = asking(server, "/?12")
    until(lambda: server.metric("worker_busy_slots", worker="0") == 1)
    server.configure("gthread", 1, 8)  # in place
    server.signal(signal.SIGHUP)
    until(lambda: server.metric("workers", state="retiring") == 1 and server.switches("done") == 3)

    server.signal(signal.SIGHUP)

    until(lambda: "waits for requests that take long: 1 processes retire" in server.log())
    assert server.get()[0] == 200
    assert server.switches("done") == 3
    assert first() == 200
    until(lambda: server.switches("done") == 4 and server.settled(1))


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


@pytest.fixture
def asking():
    """Ask on a thread; what comes back waits for the end and returns the status, or 0 where there is no answer."""
    threads = []

    def ask(server, path):
        answer = []

        def wait():
            with (
                contextlib.suppress(OSError, http.client.HTTPException),
                contextlib.closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)) as connection,
            ):
                connection.request("GET", path)
                answer.append(connection.getresponse().status)

        thread = threading.Thread(target=wait, daemon=True)
        thread.start()
        threads.append(thread)

        def status():
            thread.join(timeout=60)
            assert not thread.is_alive()
            return answer[0] if answer else 0

        return status

    return ask
