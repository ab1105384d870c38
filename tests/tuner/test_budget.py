"""How often the tuner may change anything, and when it may not at all."""

from __future__ import annotations

import pytest

from stablehand_tuner.contracts.settings import Settings, WorkerClass
from stablehand_tuner.controller import TunerState, step
from stablehand_tuner.decision import Action
from stablehand_tuner.lifecycle.history import History
from stablehand_tuner.lifecycle.phases import Watching
from stablehand_tuner.policy import Policy
from stablehand_tuner.reasons import Reason

OLD = Settings(WorkerClass.SYNC, 1)
SPENT = tuple(1000.0 + 60 * number for number in range(3))
POLICY = {"changesPerHour": 3, "windows": {"warmUpSeconds": 0, "warmUpRequests": 0}}


def after_changes(runs=OLD):
    return TunerState(Watching(runs), history=History(began_at=SPENT))


def test_a_spent_budget_holds_even_a_backlog_and_the_message_says_until_when(make_observation):
    state = after_changes()
    state, (decision,) = step(Policy.from_mapping(POLICY), state, {"pod": make_observation()}, 2000.0)

    assert (decision.action, decision.reason) == (Action.HOLD, Reason.BUDGET_SPENT)
    assert decision.message.endswith("3 changes began within the last hour: 2600 s to wait")
    assert state.history.began_at == SPENT


def test_an_hour_after_its_first_change_the_budget_allows_another(make_observation):
    state = after_changes()
    state, (decision,) = step(Policy.from_mapping(POLICY), state, {"pod": make_observation()}, 4600.0)

    assert decision.action is Action.APPLY
    assert state.history.began_at == (*SPENT[1:], 4600.0)


@pytest.mark.parametrize(
    ("changes", "policy", "reason"),
    [({"oom_exits": 1.0}, {}, Reason.MEMORY), ({}, {"workers": {"max": 2}}, Reason.OUT_OF_BOUNDS)],
    ids=["memory", "bounds"],
)
def test_memory_and_the_bounds_do_not_ask_for_the_budget(make_observation, changes, policy, reason):
    running = Settings(WorkerClass.SYNC, 3)
    seen = make_observation(settings=running, **changes)
    state = after_changes(running)
    _, (decision,) = step(Policy.from_mapping({**POLICY, **policy}), state, {"pod": seen}, 2000.0)

    assert (decision.action, decision.reason) == (Action.APPLY, reason)


def test_what_is_only_recommended_costs_nothing(make_observation):
    policy = Policy.from_mapping({**POLICY, "mode": "Recommend"})
    state, (decision,) = step(policy, after_changes(), {"pod": make_observation()}, 2000.0)

    assert decision.action is Action.RECOMMEND
    assert state.history.began_at == SPENT


def test_frozen_nothing_begins_and_a_change_under_way_ends_where_it_is(make_observation):
    state, (begun,) = step(Policy.from_mapping(POLICY), TunerState(), {"pod": make_observation()}, 2000.0)
    assert begun.action is Action.APPLY
    frozen = Policy.from_mapping({**POLICY, "freeze": True})
    for number in range(1, 50):
        seen = make_observation(settings=begun.settings, oom_exits=1.0)
        state, (decision,) = step(frozen, state, {"pod": seen}, 2000.0 + 5 * number)

        assert (decision.action, decision.reason) == (Action.HOLD, Reason.FROZEN)
    assert state.desired == begun.settings


def test_one_missing_scrape_in_a_window_stops_nothing_once_it_is_over(make_observation):
    """Counters are cumulative: the scrape after the gap tells what the gap hid."""
    calm = {"backlog": 3.0, "peak_demand": 4.0}
    state, now, policy = TunerState(), 1000.0, Policy.from_mapping(POLICY)
    for seconds in (5.0, None, 10.0):
        share = (seconds or 0.0) / 15.0
        tick = {"seconds": seconds, "requests": 150 * share, "busy_seconds_total": 15 * share}
        seen = make_observation(**tick, cpu_seconds_total=0.225 * share, **calm) if seconds else None
        now += 5.0
        state, (decision,) = step(policy, state, {"pod": seen}, now)

    assert (decision.action, decision.reason) == (Action.APPLY, Reason.WAITING_DOMINATES)
    assert decision.evidence["requests_per_second"] == 10.0


def test_a_pod_that_is_missing_now_or_again_and_again_stops_every_change(make_observation):
    policy, now, state = Policy.from_mapping(POLICY), 1000.0, TunerState()
    one = make_observation(seconds=5.0, backlog=3.0, peak_demand=4.0)
    for number in range(60):
        now += 5.0
        seen = {"a": one, "b": one if number % 2 else None}
        state, (decision,) = step(policy, state, seen, now)

        assert decision.action is Action.HOLD
    assert decision.reason is Reason.DATA_MISSING
    assert state.phase.window.seconds <= 60
