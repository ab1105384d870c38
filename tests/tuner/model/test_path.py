"""The steps from some settings to others: at most twice the slots each, and never more steps than that takes."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from stablehand_tuner.contracts.settings import Settings, WorkerClass
from stablehand_tuner.model.path import in_as_many_processes, next_step
from stablehand_tuner.policy import Policy

SYNC, GTHREAD, GEVENT = WorkerClass.SYNC, WorkerClass.GTHREAD, WorkerClass.GEVENT
POLICY = Policy()


def way(policy, current, goal):
    steps = [current]
    while steps[-1] != goal:
        steps.append(next_step(policy, steps[-1], goal))
        assert len(steps) < 20
    return steps


@st.composite
def running(draw, classes=(SYNC, GTHREAD)):
    worker_class = draw(st.sampled_from(classes))
    return Settings(worker_class, draw(st.integers(1, 12)), 1 if worker_class is SYNC else draw(st.integers(1, 64)))


@given(current=running(), goal=running())
def test_the_slots_of_a_step_at_most_double_and_the_goal_is_reached_in_as_few_steps_as_that_allows(current, goal):
    assume(goal.slots > current.slots)
    steps = way(POLICY, current, goal)

    for before, after in itertools.pairwise(steps):
        assert before.slots < after.slots <= 2 * before.slots
        assert after.worker_class is goal.worker_class
        assert POLICY.allows(after)
    assert len(steps) - 1 <= math.ceil(math.log2(goal.slots / current.slots)) + 2, "rounding costs a step or two"


@given(current=running((GTHREAD,)), goal=running((GTHREAD,)))
def test_a_step_takes_no_process_away_unless_the_goal_has_fewer_and_ends_no_thread_that_the_goal_has(current, goal):
    assume(goal.slots > current.slots)
    step = next_step(POLICY, current, goal)

    assert step.workers >= min(current.workers, goal.workers)
    assert step.threads >= min(current.threads, goal.threads)


@pytest.mark.parametrize(
    ("current", "goal", "steps"),
    [
        (Settings(SYNC, 1), Settings(GTHREAD, 2, 48), [(2, 1), (2, 2), (2, 4), (2, 8), (2, 15), (2, 27), (2, 48)]),
        (Settings(SYNC, 1), Settings(SYNC, 8), [(2, 1), (4, 1), (8, 1)]),
        (Settings(GTHREAD, 2, 8), Settings(GTHREAD, 2, 16), [(2, 16)]),
        (Settings(GTHREAD, 2, 1), Settings(GTHREAD, 8, 1), [(4, 1), (8, 1)]),
    ],
    ids=str,
)
def test_processes_come_first_and_then_slots_which_cost_nothing(current, goal, steps):
    assert [(each.workers, each.threads) for each in way(POLICY, current, goal)[1:]] == steps


def test_an_event_loop_has_room_for_the_connections_that_there_are():
    step = next_step(POLICY, Settings(GTHREAD, 2, 8), Settings(GEVENT, 2, 1, 200), connections=100)

    assert step == Settings(GEVENT, 2, 1, 63)


def test_bounds_of_the_policy_make_a_step_as_great_as_they_have_to():
    assert next_step(POLICY, Settings(SYNC, 1), Settings(GEVENT, 2, 1, 200)) == Settings(GEVENT, 2, 1, 10)


def test_threads_are_in_no_fewer_processes_than_there_are():
    assert in_as_many_processes(POLICY, Settings(SYNC, 4), Settings(GTHREAD, 2, 48)) == Settings(GTHREAD, 4, 24)
    assert in_as_many_processes(POLICY, Settings(SYNC, 4), Settings(GEVENT, 2, 1, 48)) is None
    assert in_as_many_processes(POLICY, Settings(SYNC, 2), Settings(GTHREAD, 2, 48)) is None
