from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import threading
import time

import pytest

pytestmark = pytest.mark.integration

SETTINGS = {"sync": ("sync", 2), "gthread": ("gthread", 2, 4), "gevent": ("gevent", 2)}
every_class = pytest.mark.parametrize("worker_class", SETTINGS)


@pytest.fixture
def connected():
    """Connect to a server; the connections are closed after the test."""
    with contextlib.ExitStack() as stack:

        def connect(server):
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
            stack.callback(connection.close)
            return connection

        yield connect


def asked(connection, path="/"):
    """Ask once, and return what the answer says about the connection."""
    connection.request("GET", path)
    response = connection.getresponse()
    response.read()
    assert response.status == 200
    return response.getheader("Connection")


def refuses(server):
    try:
        socket.create_connection(("127.0.0.1", server.port), timeout=5).close()
    except ConnectionRefusedError:
        return True
    return False


@every_class
def test_load_that_leaves_within_the_drain_sees_no_failure_though_readiness_has_fallen(launch, until, worker_class):
    server = launch("--drain-seconds", "4", "--graceful-timeout", "10")
    server.configure(*SETTINGS[worker_class])
    with server.load(16) as kept, server.load(8, keep_alive=False) as fresh:
        until(lambda: kept.last().completed and fresh.last().completed)
        server.signal(signal.SIGTERM)
        until(lambda: server.readiness() == 503, seconds=2)
        before = len(fresh.series)
        until(lambda: len(fresh.series) >= before + 2)  # served on, unready
        results = [load.stop() for load in (kept, fresh)]

    for result in results:
        assert result.failures == {}, result.examples
    assert sum(second.completed for second in results[1].series[before:]) > 0
    assert server.process.wait(timeout=15) == 0


@pytest.mark.parametrize("worker_class", ["gthread", "gevent"])
def test_responses_of_the_drain_close_their_connections_and_idle_ones_get_a_last_request(
    launch, until, connected, worker_class
):
    server = launch("--drain-seconds", "3", "--graceful-timeout", "10", "--keep-alive", "15")
    server.configure(worker_class, 1, *SETTINGS[worker_class][2:])
    idle, other = connected(server), connected(server)
    assert asked(idle) == "keep-alive"
    assert asked(other) == "keep-alive"
    server.signal(signal.SIGTERM)
    until(lambda: asked(connected(server)) == "close", seconds=2)

    assert asked(idle) == "close"
    until(lambda: refuses(server))  # the drain is over
    assert asked(other) == "close"  # promised to stay open when it was asked last
    assert server.process.wait(timeout=15) == 0


def test_the_listener_stays_open_for_as_long_as_the_flag_says(launch, until):
    server = launch("--drain-seconds", "2")
    server.signal(signal.SIGTERM)
    until(lambda: "serving on for 2 s" in server.log())
    told = time.monotonic()
    until(lambda: refuses(server))

    assert 1.5 <= time.monotonic() - told <= 4
    assert server.process.wait(timeout=10) == 0


def test_without_the_flag_connections_are_soon_refused_whatever_the_workers_are_busy_with(launch, until):
    server = launch()
    client = threading.Thread(target=server.get, args=("/?5",))
    client.start()
    until(lambda: server.metric("worker_busy_slots", worker="0") == 1)
    server.signal(signal.SIGTERM)
    until(lambda: refuses(server), seconds=3)
    client.join()

    assert server.process.wait(timeout=10) == 0


def test_what_is_in_flight_at_the_end_of_the_drain_still_has_the_graceful_timeout(launch, until):
    server = launch("--drain-seconds", "1", "--graceful-timeout", "10")
    server.configure("gthread", 1, 2)
    answers = []
    client = threading.Thread(target=lambda: answers.append(server.get("/?6")[0]))
    client.start()
    until(lambda: server.metric("worker_busy_slots", worker="0") == 1)
    server.signal(signal.SIGTERM)
    until(lambda: refuses(server))
    assert not answers
    client.join()

    assert answers == [200]
    assert server.process.wait(timeout=10) == 0


def test_a_worker_that_dies_within_the_drain_is_replaced(launch, until):
    server = launch("--drain-seconds", "30", "--workers", "1")
    (worker,) = server.workers()
    server.signal(signal.SIGTERM)
    until(lambda: server.readiness() == 503)
    os.kill(worker, signal.SIGKILL)
    until(lambda: server.workers() not in (set(), {worker}))

    assert server.get()[0] == 200
    assert server.readiness() == 503


def test_the_drain_can_be_cut_short_and_is_not_begun_anew(launch, until):
    server = launch("--drain-seconds", "60")
    for _ in range(2):
        server.signal(signal.SIGTERM)
    until(lambda: "serving on for 60 s" in server.log())
    server.signal(signal.SIGHUP)
    server.signal(signal.SIGINT)

    assert server.process.wait(timeout=10) == 0
    assert server.log().count("serving on") == 1


def test_a_server_that_has_never_served_does_not_drain_and_does_not_wait_for_its_boot(start, until):
    start_of_boot = "Booting worker with pid"
    server = start("--drain-seconds", "60", "--graceful-timeout", "60", app="slow_import:app")
    until(lambda: start_of_boot in server.log())
    server.signal(signal.SIGTERM)

    assert server.process.wait(timeout=15) == 0
