from __future__ import annotations

import contextlib
import json
import threading

import pytest

from stablehand_tuner.contracts.settings import FIELDS

pytestmark = pytest.mark.integration


@pytest.fixture
def crowd():
    """Return a function that sends so many slow requests at once, and gives a list that their answers come into."""
    with contextlib.ExitStack() as stack:

        def send(server, number, seconds):
            answers = []
            for _ in range(number):
                client = threading.Thread(target=lambda: answers.append(server.get(f"/?{seconds}")[0]))
                client.start()
                stack.callback(client.join)
            return answers

        yield send


def slots(server):
    return server.metric("worker_slots", worker="0")


def busy(server):
    return server.metric("worker_busy_slots", worker="0")


@pytest.mark.parametrize(
    "growth",
    [
        (("gthread", 2, 1000), ("gthread", 6, 1000), (2, 6)),
        (("gthread", 6, 3), ("gthread", 6, 7), (3, 6)),
        (("gevent", 1, 2), ("gevent", 1, 6), (2, 6)),
    ],
)
def test_what_grows_serves_more_at_once_in_the_same_process_while_requests_wait(launch, until, crowd, growth):
    before, after, busy_slots = growth
    worker_class, threads, connections = map(str, before)
    server = launch("--worker-class", worker_class, "--threads", threads, "--worker-connections", connections)
    workers = server.workers()
    answers = crowd(server, 6, 4)
    until(lambda: busy(server) == busy_slots[0], seconds=4)
    server.write(json.dumps(dict(zip(FIELDS, (after[0], 1, *after[1:]), strict=True))))
    until(lambda: busy(server) == busy_slots[1], seconds=4)
    assert slots(server) == after[2 if worker_class == "gevent" else 1]
    until(lambda: len(answers) == 6)

    assert answers == [200] * 6
    assert server.workers() == workers
    assert server.switches("done") == 1
    assert server.metric("setting", name="worker_connections", kind="active") == after[2]


def test_a_worker_that_comes_later_has_grown_too_and_what_shrinks_needs_new_processes(launch, until):
    server = launch()
    server.configure("gthread", 1, 2)
    first = server.workers()
    with server.load(16) as load:
        until(lambda: load.last().completed)
        server.configure("gthread", 1, 6)
        server.configure("gthread", 2, 6)
        assert first < server.workers()
        until(lambda: [server.metric("worker_slots", worker=index) for index in "01"] == [6, 6])
        grown = server.workers()
        server.configure("gthread", 2, 3)
        result = load.stop()

    assert result.failures == {}, result.examples
    assert not grown & server.workers()
    assert [server.metric("worker_slots", worker=index) for index in "01"] == [3, 3]
