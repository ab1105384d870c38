from __future__ import annotations

import contextlib
import ctypes
import sys
import threading
import time

import pytest

from stablehand_server.workers.asgi.thread_pool import ThreadPool
from stablehand_server.workers.common import thread_limit
from stablehand_server.workers.common.serving_thread import ServingThread

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")

SECONDS = 10.0  # for what takes milliseconds


def until(condition):
    """Return when the condition holds."""
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def there():
    """Return the pool's threads."""
    return [thread for thread in threading.enumerate() if thread.name.startswith("pool-")]


def asked(pool):
    """Return what is set when the pool has done something."""
    done = threading.Event()
    pool.submit(done.set)
    return done


@contextlib.contextmanager
def held(pool, *, wait=True):
    """Occupy a thread."""
    goes_on, begun = threading.Event(), threading.Event()

    def take_long():
        begun.set()
        goes_on.wait(SECONDS)

    pool.submit(take_long)
    assert not wait or begun.wait(SECONDS)
    try:
        yield begun
    finally:
        goes_on.set()


@pytest.fixture
def pool():
    """A pool of three threads, which end with the test."""
    pool = ThreadPool(3, "pool")
    yield pool
    pool.end()
    until(lambda: not there())  # one that has just ended its call may still have been in it


@contextlib.contextmanager
def all_held(pool, number):
    with contextlib.ExitStack() as stack:
        for _ in range(number):
            stack.enter_context(held(pool))
        yield


def test_threads_are_started_as_they_are_needed_and_no_more_than_allowed(pool):
    assert asked(pool).wait(SECONDS)
    until(lambda: len(there()) == 1)
    with all_held(pool, 3):
        assert len(there()) == 3
        waits = asked(pool)
        assert not waits.wait(0.05)
    assert waits.wait(SECONDS)


def test_calls_begin_in_the_order_in_which_they_come_also_when_the_threads_become_fewer(pool):
    order = []
    with all_held(pool, 3):
        for number in range(6):
            pool.submit(order.append, number)
        pool.resize(1)
    until(lambda: len(order) == 6)

    assert order == sorted(order)


def test_fewer_threads_end_no_call_and_no_more_begin_one(pool):
    with all_held(pool, 3):
        pool.resize(1)
        assert len(there()) == 3
    until(lambda: len(there()) == 1)
    with held(pool):
        waits = asked(pool)
        assert not waits.wait(0.05)
    assert waits.wait(SECONDS)


def test_idle_threads_end_at_once_when_they_are_too_many_and_others_come_when_there_may_be_more_again(pool):
    for _ in range(2):
        with all_held(pool, 3):
            assert pool.excused == 0
        until(lambda: all(not thread.serving_since for thread in there()))
        pool.resize(1)
        until(lambda: len(there()) == 1)
        pool.resize(3)


def test_under_a_steady_load_the_threads_become_as_few_as_they_may_be_whenever_that_changes(pool):
    ended = threading.Event()

    def again():
        time.sleep(0.0005)
        if not ended.is_set():
            pool.submit(again)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(8):
            pool.submit(again)
        for _ in range(600):
            pool.resize(16)
            until(lambda: len(there()) >= 8)
            pool.resize(2)
            until(lambda: len(there()) == 2)
    finally:
        ended.set()
        sys.setswitchinterval(interval)


def test_a_call_that_lasts_for_long_when_the_threads_become_fewer_does_not_keep_a_place(pool, monkeypatch):
    monkeypatch.setattr(thread_limit, "_LONG_SECONDS", 0.05)
    with all_held(pool, 3):
        pool.resize(1)
        waits = asked(pool)
        until(lambda: pool.replace_detained(time.monotonic()))
        assert waits.wait(SECONDS)
        assert pool.excused == 3
    until(lambda: len(there()) == 1)
    assert pool.excused == 0


def test_a_thread_that_an_exception_ends_while_it_waits_is_replaced(pool):
    class Late(BaseException):
        """What an app sends to a thread whose call has ended meanwhile."""

    assert asked(pool).wait(SECONDS)
    (thread,) = there()
    until(lambda: not thread.serving_since)
    assert ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(Late)) == 1
    asked(pool)  # it wakes up, and may lose that
    until(lambda: not thread.is_alive())

    assert pool.take_ended() == {thread}
    pool.start_missing()
    with all_held(pool, 3):
        pass
    until(lambda: len(there()) == 3)


def test_without_a_thread_calls_wait_until_one_can_be_started(pool, monkeypatch):
    start = ServingThread.start

    def refuse(_):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(ServingThread, "start", refuse)
    done = threading.Event()
    with pytest.raises(RuntimeError, match="new thread"):
        pool.submit(done.set)
    monkeypatch.setattr(ServingThread, "start", start)
    pool.start_missing()
    assert done.wait(SECONDS)
