from __future__ import annotations

import os
import signal

import pytest

pytestmark = pytest.mark.integration


def assert_never_falling(before, after):
    for key, value in before.items():
        assert after[key] >= value, key


@pytest.mark.parametrize("worker_class", ["sync", "gthread", "gevent"])
def test_a_killed_worker_is_replaced_and_no_counter_falls(launch, until, worker_class):
    server = launch(
        "--workers", "2", "--worker-class", worker_class, "--threads", "4" if worker_class != "sync" else "1"
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

    # Each client has at most one request in flight, and only the killed process loses any.
    assert result.failed <= 8, result.examples
    assert set(result.failures) <= {"reset", "eof_before_response", "eof_within_response"}
    assert result.completed > 20
    assert server.metric("worker_exits_total", reason="signal") == 1
    assert server.metric("request_duration_seconds_count") >= result.completed


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
    requests = [server.metric("worker_requests_total", worker=index, code="2xx") for index in "01"]
    assert sum(requests) == result.completed
