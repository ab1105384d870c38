"""A real server under --autotune: what may break the app runs in one worker first, and the server ends it by itself."""

from __future__ import annotations

import os
import re
import signal

import pytest

pytestmark = pytest.mark.integration

POLICY = (
    '{"windows": {"warmUpSeconds": 0, "warmUpRequests": 0, "decisionSeconds": 1, "trialSeconds": 2, '
    '"canarySeconds": 2, "coolDownSeconds": 1}}'
)


@pytest.fixture
def autotuned(launch):
    """Return a function that starts a server with a tuner."""

    def begin(app):
        return launch("--autotune", app=app, STABLEHAND_AUTOTUNE_POLICY=POLICY)

    return begin


def is_in_trial(server):
    return server.metric("trial_state", state="running") == 1


def tuner(server):
    """Return the process id of the tuner."""
    return int(re.findall(r"\[(\d+)\] \[INFO\] autotune: ", server.log())[-1])


def test_a_class_that_fails_all_requests_costs_fewer_than_fifty_and_is_never_tried_again(autotuned, until):
    server = autotuned("main_thread_only:app")
    with server.load(32) as load:
        until(lambda: " keep gevent " in server.log(), seconds=40)
        result = load.stop()

    assert 0 < result.failed < 50, result
    assert server.log().count("autotune: try gthread ") == 1
    assert server.metric("trials_total", outcome="failed") == 1
    assert server.metric("trials_total", outcome="confirmed") >= 1


def test_a_tuner_that_stops_in_the_middle_of_a_trial_leaves_the_settings_as_they_were(autotuned, until):
    server = autotuned("harmful:app")
    with server.load(32) as load:
        until(lambda: is_in_trial(server), seconds=20)
        stopped = tuner(server)
        os.kill(stopped, signal.SIGSTOP)
        try:
            until(lambda: server.metric("trials_total", outcome="expired") == 1, seconds=20)
            assert server.active()[0] == "sync"
        finally:
            os.kill(stopped, signal.SIGCONT)
        result = load.stop()

    assert result.failed == 0, result


def test_a_tuner_that_is_killed_in_the_middle_of_a_trial_begins_another_one(autotuned, until):
    server = autotuned("harmful:app")
    with server.load(32) as load:
        until(lambda: is_in_trial(server), seconds=20)
        os.kill(tuner(server), signal.SIGKILL)
        until(lambda: server.active()[0] == "gthread", seconds=40)
        result = load.stop()

    assert result.failed == 0, result
    assert server.metric("trials_total", outcome="withdrawn") >= 1
    assert server.metric("trial_id") == 2


def test_a_limit_that_a_climb_meets_costs_few_requests_and_is_not_met_again(autotuned, until):
    server = autotuned("bounded:app")
    with server.load(64) as load:
        until(lambda: " keep gthread " in server.log(), seconds=60)
        rate = load.last(2).requests_per_second
        result = load.stop()

    assert server.metric("trials_total", outcome="failed") >= 1
    assert result.failed <= 0.002 * 120 * rate, "of what it serves in two minutes"
    assert 8 <= server.active()[2] <= 10
