from __future__ import annotations

import contextlib
import json
import threading
from pathlib import Path

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


def test_a_worker_that_comes_later_is_like_those_that_have_changed_in_place(launch, until):
    server = launch()
    server.configure("gthread", 1, 2)
    with server.load(16) as load:
        until(lambda: load.last().completed)
        for workers, threads in ((1, 6), (2, 6), (2, 3), (3, 3)):
            first = server.workers()
            server.configure("gthread", workers, threads)
            indexes = [str(index) for index in range(workers)]
            until(lambda: {server.metric("worker_slots", worker=each) for each in indexes} == {threads})  # noqa: B023
            assert first <= server.workers()
        result = load.stop()

    assert result.failures == {}, result.examples


def threads_of(pid):
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


@pytest.mark.parametrize("worker_class", ["gthread", "asgi"])
def test_fewer_threads_under_load_need_no_new_process_fail_nothing_and_give_back_what_threads_keep(
    launch, until, worker_class
):
    server = launch("-k", worker_class, "--threads", "2", app="thread_locals:app")
    (pid,) = server.workers()
    with server.load(40) as load:
        until(lambda: load.last().completed)
        fewest = threads_of(pid)
        server.configure(worker_class, 1, 32)
        until(lambda: threads_of(pid) >= fewest + 20)
        server.configure(worker_class, 1, 2)
        until(lambda: threads_of(pid) <= fewest)
        until(lambda: server.get()[1] in {f"{pid} 1", f"{pid} 2"})
        server.configure(worker_class, 1, 32)
        until(lambda: threads_of(pid) >= fewest + 20)
        result = load.stop()

    assert result.failures == {}, result.examples
    assert server.workers() == {pid}


@pytest.mark.parametrize("worker_class", ["gthread", "gevent", "eventlet", "asgi"])
def test_with_fewer_connections_none_is_closed_and_no_other_accepted_until_there_are_fewer(
    launch, until, crowd, worker_class
):
    threads = 8 if worker_class in {"gthread", "asgi"} else 1
    server = launch("-k", worker_class, "--threads", str(threads), "--worker-connections", "8")
    workers = server.workers()
    before = crowd(server, 6, 2)
    until(lambda: busy(server) == 6, seconds=2)
    server.write(json.dumps(dict(zip(FIELDS, (worker_class, 1, threads, 2), strict=True))))
    until(lambda: "has changed in place" in server.log())
    after = crowd(server, 4, 0.5)
    until(lambda: len(before) == 6)
    assert (before, after) == ([200] * 6, [])
    until(lambda: busy(server) == 2)
    until(lambda: len(after) == 4)

    assert after == [200] * 4
    assert server.workers() == workers
