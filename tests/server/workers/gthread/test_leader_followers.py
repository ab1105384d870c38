from __future__ import annotations

import contextlib
import dis
import os
import queue
import sys
import threading
import time

import pytest

from stablehand_server.workers.common import thread_limit
from stablehand_server.workers.common.serving_thread import ServingThread
from stablehand_server.workers.gthread import leader_followers
from stablehand_server.workers.gthread.leader_followers import LeaderFollowers

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")

SECONDS = 10.0  # for what takes milliseconds
# After these the interpreter looks whether another thread has sent an exception.
LOOKED_AFTER = ("CALL", "JUMP_BACKWARD", "RESUME")


class Log:
    """Nobody reads it."""

    def error(self, *_, **__):
        """Forget it."""

    warning = exception = error


class Late(BaseException):
    """What an app sends to a thread whose request has ended meanwhile."""


class Crew:
    """Threads that call what they are given, with somebody who watches them."""

    def __init__(self, threads):
        self.tasks = queue.SimpleQueue()
        self.recovered = []
        self._ended = threading.Event()
        self._others = set(threading.enumerate())
        self.threads = LeaderFollowers(
            threads,
            self._next_task,
            lambda _, task: task(),
            recover=lambda thread, led: self.recovered.append((thread, led)),
            call_monitor=lambda: None,
            log=Log(),
        )
        self._monitor = threading.Thread(target=self._watch)

    def __enter__(self):
        self._monitor.start()
        self.threads.prepare()
        self.threads.start()
        return self

    def __exit__(self, *_):
        self._ended.set()
        self._monitor.join()
        self.threads.stop()

    def _next_task(self, _):
        with contextlib.suppress(queue.Empty):
            return self.tasks.get(timeout=0.01)

    def _watch(self):
        while not self._ended.wait(0.001):
            self.threads.replace_ended()
            self.threads.make_up()
            self.threads.replace_detained(time.monotonic())
            self.threads.watch(time.monotonic(), 0.0)

    def ask(self, task=lambda: None):
        """Have a task done; return what is set when it is."""
        done = threading.Event()

        def do():
            try:
                task()
            finally:
                done.set()

        self.tasks.put(do)
        return done

    def serves(self):
        """Tell whether each of four tasks is done, the last of them while another one takes long."""
        for _ in range(2):
            assert self.ask().wait(SECONDS)
        with self.held():
            return self.ask().wait(SECONDS)

    def there(self):
        """Return how many threads there are."""
        return len(set(threading.enumerate()) - self._others - {self._monitor})

    @contextlib.contextmanager
    def held(self):
        """Occupy a thread."""
        goes_on, begun = threading.Event(), threading.Event()

        def take_long():
            begun.set()
            goes_on.wait(SECONDS)

        self.ask(take_long)
        assert begun.wait(SECONDS)
        try:
            yield
        finally:
            goes_on.set()


def until(condition):
    """Return when the condition holds."""
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


class Interruption:
    """Raises an exception where the interpreter looks for the n-th time, in the threads' own code, whether there is."""

    def __init__(self, number):
        self._number = number
        self._lock = threading.Lock()
        self.done = False
        self._previous = {}

    def trace(self, frame, event, _):
        """Follow each instruction of the module, in whatever thread."""
        in_module = frame.f_code.co_filename == leader_followers.__file__
        if not in_module or not isinstance(threading.current_thread(), ServingThread):
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            previous = self._previous.get(frame)
            self._previous[frame] = dis.opname[frame.f_code.co_code[frame.f_lasti]]
            with self._lock:
                if previous is not None and previous.startswith(LOOKED_AFTER) and not self.done:
                    self._number -= 1
                    if self._number == 0:
                        self.done = True
                        raise Late
        elif event == "return":
            self._previous.pop(frame, None)
        return self.trace


@pytest.mark.skipif(sys.version_info < (3, 11), reason="Python 3.10 looks for exceptions elsewhere too")
@pytest.mark.skipif(sys.version_info[:2] == (3, 12), reason="Python 3.12 may crash where a tracer raises in a with")
def test_an_exception_anywhere_in_a_threads_own_code_leaves_a_crew_that_serves(monkeypatch):
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    number = 0
    try:
        while True:
            number += 1
            interruption = Interruption(number)
            threading.settrace(interruption.trace)
            with Crew(2) as crew:
                # What an interrupted thread has just taken is lost, as its request is.
                served = [crew.ask(lambda: time.sleep(0.003)) for _ in range(3)]
                until(lambda: interruption.done or all(each.is_set() for each in served))  # noqa: B023 (called at once)
                interrupted, interruption.done = interruption.done, True
                assert crew.serves(), number
                if not interrupted:
                    break
    finally:
        threading.settrace(None)
    assert number > 20


def test_a_thread_that_an_exception_ends_is_replaced_and_recovered(monkeypatch):
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    ended = []

    def fail():
        ended.append(threading.current_thread())
        raise Late

    with Crew(1) as crew:
        assert crew.ask(fail).wait(SECONDS)
        assert crew.ask().wait(SECONDS)
    assert crew.recovered == [(ended[0], True)]


def test_a_thread_that_is_about_to_start_counts_as_alive(monkeypatch):
    start = ServingThread.start

    def start_late(thread):
        time.sleep(0.02)
        start(thread)

    monkeypatch.setattr(ServingThread, "start", start_late)
    with Crew(2) as crew:
        assert crew.serves()
    assert not crew.recovered


def test_a_thread_that_could_not_be_started_is_started_later_although_the_others_take_long(monkeypatch):
    refused = threading.Event()
    start = ServingThread.start

    def refuse(_):
        refused.set()
        raise RuntimeError("can't start new thread")

    with Crew(2) as crew:
        assert crew.ask().wait(SECONDS)
        monkeypatch.setattr(ServingThread, "start", refuse)
        with crew.held():
            done = crew.ask()
            assert refused.wait(SECONDS)
            monkeypatch.setattr(ServingThread, "start", start)
            assert done.wait(SECONDS)


def test_threads_none_of_which_can_be_started_are_an_error_before_anything_is_served(monkeypatch):
    def refuse(_):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(ServingThread, "start", refuse)
    crew = Crew(2)
    with pytest.raises(RuntimeError, match="no thread can be started"):
        crew.threads.prepare()


def test_a_crew_whose_first_thread_was_replaced_before_it_started_starts_nevertheless(monkeypatch):
    monkeypatch.setattr(ServingThread, "start", lambda _: None)
    crew = Crew(2)
    crew.threads.prepare()
    assert crew.threads.replace_ended()
    crew.threads.start()


def test_work_that_a_task_starts_is_no_daemon_although_the_process_does_not_wait_for_the_tasks_thread():
    started = []
    with Crew(1) as crew:
        assert crew.ask(lambda: started.append((threading.Thread().daemon, threading.current_thread().daemon))).wait(5)
    assert started == [(False, False)]


@pytest.mark.parametrize(("code", "status"), [(0, 0), (3, 3), (None, 0), ("a sentence", 1)])
def test_a_task_that_forks_never_goes_on_in_the_child(code, status):
    children = []

    with Crew(2) as crew:

        def fork():
            child = os.fork()
            if child == 0:
                sys.exit(code)
            children.append(child)

        os.register_at_fork(after_in_child=lambda: setattr(crew.threads, "is_forked_child", True))
        assert crew.ask(fork).wait(SECONDS)
        assert os.waitstatus_to_exitcode(os.waitpid(children[0], 0)[1]) == status
        assert crew.serves()


def test_a_child_of_a_task_that_returns_ends_too():
    children = []
    with Crew(2) as crew:
        os.register_at_fork(after_in_child=lambda: setattr(crew.threads, "is_forked_child", True))
        assert crew.ask(lambda: children.append(os.fork())).wait(SECONDS)
        assert os.waitstatus_to_exitcode(os.waitpid(children[0], 0)[1]) == 0


def test_threads_end_when_they_are_stopped():
    with Crew(2) as crew:
        assert crew.serves()
        threads = [thread for thread in threading.enumerate() if thread.name.startswith("gthread-")]
        assert len(threads) >= 2
        until(lambda: not any(thread.serving_since for thread in threads))  # those that serve are not awaited
    crew.threads.join()
    assert not any(thread.is_alive() for thread in threads)


@pytest.mark.parametrize("threads", [1, 2])
def test_fewer_threads_end_nothing_that_is_served_and_no_more_begin_to_serve(threads):
    with Crew(5) as crew, contextlib.ExitStack() as new:
        with contextlib.ExitStack() as old:
            for _ in range(5):
                old.enter_context(crew.held())
            crew.threads.resize(threads)
            assert crew.there() == 5
        until(lambda: crew.there() == threads)
        for _ in range(threads):
            new.enter_context(crew.held())
        waits = crew.ask()
        assert not waits.wait(0.1)
        new.close()
        assert waits.wait(SECONDS)
        assert crew.there() == threads


def test_idle_threads_end_at_once_when_they_are_too_many_and_others_come_when_there_may_be_more_again():
    with Crew(5) as crew:
        for _ in range(2):
            with contextlib.ExitStack() as stack:
                for _ in range(5):
                    stack.enter_context(crew.held())
            assert crew.there() == 5
            crew.threads.resize(1)
            until(lambda: crew.there() == 1)
            assert crew.ask().wait(SECONDS)
            crew.threads.resize(5)


def test_what_was_served_for_long_when_the_threads_became_fewer_does_not_keep_their_places(monkeypatch):
    monkeypatch.setattr(thread_limit, "_LONG_SECONDS", 0.05)
    with Crew(3) as crew:
        with contextlib.ExitStack() as old:
            for _ in range(3):
                old.enter_context(crew.held())
            crew.threads.resize(1)
            with crew.held():  # all three go on
                waits = crew.ask()
                assert not waits.wait(0.1)
            assert waits.wait(SECONDS)
        until(lambda: crew.there() == 1)
        assert crew.ask().wait(SECONDS)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="Python 3.10 looks for exceptions elsewhere too")
@pytest.mark.skipif(sys.version_info[:2] == (3, 12), reason="Python 3.12 may crash where a tracer raises in a with")
def test_an_exception_anywhere_while_the_number_of_threads_changes_leaves_a_crew_that_serves(monkeypatch):
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    number = 0
    try:
        while True:
            number += 1
            interruption = Interruption(number)
            threading.settrace(interruption.trace)
            with Crew(4) as crew:
                served = [crew.ask(lambda: time.sleep(0.003)) for _ in range(4)]
                crew.threads.resize(1)
                served.append(crew.ask(lambda: time.sleep(0.003)))
                until(lambda: interruption.done or all(each.is_set() for each in served))  # noqa: B023 (called at once)
                interrupted, interruption.done = interruption.done, True
                crew.threads.resize(2)
                assert crew.serves(), number
                if not interrupted:
                    break
    finally:
        threading.settrace(None)
    assert number > 20
