from __future__ import annotations

import asyncio
import asyncio.base_events
import os
import signal
import subprocess
import sys
import threading

import pytest

from stablehand_server.measure.app_runs import AppRuns, has_children
from stablehand_server.measure.asyncio_runs import AsyncioRuns
from stablehand_server.measure.timer_signals import TimerSignals


@pytest.fixture
def runs(monkeypatch):
    """Notes of runs that end with the test."""
    loop = asyncio.base_events.BaseEventLoop
    monkeypatch.setattr(loop, "run_forever", loop.run_forever)
    watching = AsyncioRuns(sys.modules)
    watching.watch()
    return watching


@pytest.fixture
def thread():
    """Start a thread by a name; it ends with the test."""
    end, started = threading.Event(), []

    def start(name):
        started.append(threading.Thread(target=end.wait, name=name, daemon=True))
        started[-1].start()

    yield start
    end.set()
    for each in started:
        each.join()


def test_an_app_without_asyncio_runs_no_loop():
    watching = AsyncioRuns({})
    watching.watch()

    assert (watching.any, watching.lasting) == (False, False)


def test_a_new_loop_for_each_request_is_no_lasting_one(runs):
    for _ in range(20):
        assert asyncio.run(asyncio.sleep(0, "result")) == "result"

    assert (runs.any, runs.lasting) == (True, False)


def test_a_loop_that_runs_again_and_again_is_lasting(runs):
    loop = asyncio.new_event_loop()
    try:
        for _ in range(20):
            loop.run_until_complete(asyncio.sleep(0))
    finally:
        loop.close()

    assert (runs.any, runs.lasting) == (True, True)


def test_a_loop_in_another_thread_counts_but_need_not_stay_in_the_main_thread(runs):
    def serve():
        loop = asyncio.new_event_loop()
        for _ in range(20):
            loop.run_until_complete(asyncio.sleep(0))
        loop.close()

    other = threading.Thread(target=serve)
    other.start()
    other.join()

    assert (runs.any, runs.lasting) == (True, False)


def test_what_is_new_of_loops_is_told_once(monkeypatch):
    loop = asyncio.base_events.BaseEventLoop
    monkeypatch.setattr(loop, "run_forever", loop.run_forever)
    app = AppRuns(sys.modules, watches_loops=True)
    assert not app.look_at_requests()
    asyncio.run(asyncio.sleep(0))

    assert app.look_at_requests()
    assert not app.look_at_requests()
    assert "event_loop" in app.found


def test_a_class_that_runs_a_loop_itself_watches_none(monkeypatch):
    original = asyncio.base_events.BaseEventLoop.run_forever
    app = AppRuns(sys.modules, watches_loops=False)
    app.look()

    assert asyncio.base_events.BaseEventLoop.run_forever is original
    assert "event_loop" not in app.found


@pytest.fixture
def timers(monkeypatch):
    """Notes of handlers for timers that end with the test, and so do the handlers."""
    monkeypatch.setattr(signal, "signal", signal.signal)
    before = {number: signal.getsignal(number) for number in (signal.SIGALRM, signal.SIGUSR1)}
    watching = TimerSignals()
    watching.watch()
    yield watching
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_handler_that_a_request_sets_for_a_timer_is_noted(timers):
    timers.loaded()
    assert signal.signal(signal.SIGUSR1, signal.SIG_IGN) is signal.SIG_DFL
    assert not timers.any, "another signal"

    signal.signal(signal.SIGALRM, signal.SIG_IGN)
    assert timers.any
    assert signal.getsignal(signal.SIGALRM) is signal.SIG_IGN


def test_a_handler_that_is_set_while_the_app_is_imported_is_not(timers):
    signal.signal(signal.SIGALRM, signal.SIG_IGN)
    timers.loaded()

    assert not timers.any


def test_a_thread_counts_once_it_has_been_there_at_two_looks(thread):
    app = AppRuns({}, watches_loops=False)
    app.look()
    thread("sends-metrics")
    app.look()
    assert not app.found & {"threads", "scheduler"}

    app.look()
    assert "threads" in app.found
    assert "scheduler" not in app.found


def test_a_scheduler_is_known_by_its_threads_name(thread):
    app = AppRuns({}, watches_loops=False)
    thread("APScheduler")
    app.look()
    app.look()

    assert app.found >= {"threads", "scheduler"}


@pytest.mark.parametrize("name", ["ThreadPoolExecutor-0_0", "asyncio_3", "gthread-1", "wsgi_0"])
def test_threads_of_a_pool_are_no_threads_of_the_apps_own(thread, name):
    app = AppRuns({}, watches_loops=False)
    thread(name)
    app.look()
    app.look()

    assert "threads" not in app.found


def test_threads_are_not_listed_where_the_app_has_replaced_them(thread):
    app = AppRuns({}, watches_loops=False)
    thread("sends-metrics")
    for _ in range(3):
        app.look(at_threads=False)

    assert "threads" not in app.found


def test_children_are_found_while_they_live_and_after(tmp_path):
    code = """
import subprocess, sys
from stablehand_server.measure.app_runs import has_children
before = has_children()
child = subprocess.Popen(["sleep", "30"])
during = has_children()
child.kill()
child.wait()
print(before, during, has_children())
"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)

    assert said.stdout.split() == ["False", "True", "True"]


def test_where_the_kernel_does_not_report_children_only_ended_ones_count(tmp_path):
    code = "import sys, pathlib\nfrom stablehand_server.measure.app_runs import has_children\n"
    code += "sys.exit(has_children(pathlib.Path(sys.argv[1])))"
    ended = subprocess.run([sys.executable, "-c", code, os.fspath(tmp_path / "gone")], check=False, timeout=60)

    assert ended.returncode == 0
    assert has_children(tmp_path / "gone"), "this process has waited for one"
