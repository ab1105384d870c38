from __future__ import annotations

import dataclasses

import pytest

from stablehand_tuner.contracts.settings import Settings, WorkerClass
from stablehand_tuner.decision import Action, Decision
from stablehand_tuner.lifecycle import gate
from stablehand_tuner.lifecycle.history import History
from stablehand_tuner.lifecycle.phases import LowDemand, Watching
from stablehand_tuner.lifecycle.state import TunerState
from stablehand_tuner.lifecycle.window import WarmUp
from stablehand_tuner.model import propose as model
from stablehand_tuner.model.known import Known
from stablehand_tuner.model.proposal import Proposal
from stablehand_tuner.policy import Policy, Windows
from stablehand_tuner.reasons import Reason

SYNC_1 = Settings(WorkerClass.SYNC, 1)
NOW = 1000.0


def gthread(workers, threads):
    return Settings(WorkerClass.GTHREAD, workers, threads)


def judge(
    current,
    wanted,
    window,
    *,
    standing=None,
    low_demand=None,
    history=None,
    known=None,
    reason=Reason.WAITING_DOMINATES,
    now=NOW,
    **situation,
):
    proposal = Proposal(wanted, reason, f"{wanted} instead of {current}", {})
    watching = Watching(current, standing=standing, low_demand=low_demand)
    state = TunerState(watching, known=known or Known(), history=history or History())
    return gate.judge(gate.Situation(Policy(), state, watching, window, current, now, **situation), proposal)


def test_growth_that_demand_calls_for_is_allowed(make_observation):
    assert judge(SYNC_1, gthread(2, 48), make_observation()).settings == gthread(2, 48)


def test_a_small_difference_is_no_reason_to_act(make_observation):
    window = make_observation(busy_seconds_total=15.0 * 60)

    assert judge(gthread(2, 40), gthread(2, 47), window).reason is Reason.WELL_TUNED
    assert judge(gthread(2, 40), gthread(2, 48), window).settings == gthread(2, 48)


def test_nothing_grows_while_less_than_half_of_the_slots_are_in_use(make_observation):
    window = make_observation(busy_seconds_total=15.0 * 7, backlog=0.0)

    assert judge(gthread(2, 8), gthread(2, 16), window).reason is Reason.HALF_UNUSED
    assert judge(gthread(2, 7), gthread(2, 16), window).settings == gthread(2, 16)


@pytest.mark.parametrize(("cores_used", "grows"), [(1.7, False), (1.5, False), (1.4, True)])
def test_an_app_that_was_saturated_grows_only_when_cores_are_clearly_free(make_observation, cores_used, grows):
    saturated = Decision(Action.HOLD, Reason.SATURATED, "full")
    window = make_observation(cpu_seconds_total=15.0 * cores_used)

    assert judge(SYNC_1, gthread(2, 48), window).settings is not None
    assert (judge(SYNC_1, gthread(2, 48), window, standing=saturated).settings is not None) is grows


def test_missing_data_is_busy_so_nothing_grows_or_shrinks(make_observation):
    unseen = "1 of 2 pods cannot be scraped now"
    more = judge(SYNC_1, gthread(2, 48), make_observation(), unseen=unseen)
    less = judge(gthread(2, 48), SYNC_1, make_observation(), unseen=unseen)

    assert more.reason is less.reason is Reason.DATA_MISSING
    assert more.message.startswith(unseen)


def test_what_needs_processes_waits_while_no_more_of_them_may_finish_long_requests(make_observation):
    window = make_observation(busy_seconds_total=15.0 * 60, pods_full_of_retiring=1.0)
    more_threads = judge(gthread(2, 24), gthread(2, 48), window)
    more_workers = judge(gthread(2, 24), gthread(4, 24), window)

    assert more_threads.settings == gthread(2, 48)
    assert more_workers.settings is None
    assert more_workers.reason is Reason.LONG_REQUESTS
    assert more_workers.message.startswith("gthread 4 × 24 would suit, but processes of earlier changes")


def test_after_a_change_the_tuner_waits(make_observation):
    history = History(next_change_at=NOW + 10)

    assert judge(SYNC_1, gthread(2, 48), make_observation(), history=history).reason is Reason.COOLING_DOWN
    assert judge(SYNC_1, gthread(2, 48), make_observation(), history=history, now=NOW + 10).settings is not None


def test_a_backlog_does_not_wait_unless_changes_were_reversed(make_observation):
    cooling = History(next_change_at=NOW + 10)
    verdict = judge(SYNC_1, gthread(2, 48), make_observation(), history=cooling, is_emergency=True)

    assert (verdict.settings, verdict.reason) == (gthread(2, 48), Reason.BACKLOG)
    assert verdict.message.startswith("63 connections wait in the kernel; ")

    reversed_before = dataclasses.replace(cooling, reversals=1)
    assert (
        judge(SYNC_1, gthread(2, 48), make_observation(), history=reversed_before, is_emergency=True).reason
        is Reason.COOLING_DOWN
    )


def test_each_reversal_doubles_the_wait_up_to_an_hour():
    windows = Windows(cool_down_seconds=30)

    assert [gate.wait_after(windows, count) for count in (0, 1, 2, 7, 1000)] == [30, 60, 120, 3600, 3600]


def test_settings_that_a_server_refused_are_not_sent_again(make_observation):
    known = Known(refused=(gthread(2, 48),))

    assert judge(SYNC_1, gthread(2, 48), make_observation(), known=known).reason is Reason.REFUSED_BEFORE


def test_fewer_slots_need_a_long_time_of_low_demand_and_the_most_of_it_counts(make_observation):
    current, window = gthread(2, 32), make_observation(busy_seconds_total=30.0, backlog=0.0)
    first = judge(current, gthread(2, 3), window)
    second = judge(current, gthread(2, 5), window, low_demand=first.low_demand, now=NOW + 599)
    third = judge(current, gthread(2, 2), window, low_demand=second.low_demand, now=NOW + 600)

    assert [first.reason, second.reason] == [Reason.SHRINK_WAITING] * 2
    assert (third.settings, third.reason) == (gthread(2, 5), Reason.LOW_DEMAND)


def test_demand_above_the_low_mark_ends_the_wait_for_fewer_slots(make_observation):
    verdict = judge(gthread(2, 32), gthread(2, 17), make_observation(), low_demand=LowDemand(1.0, 3))

    assert (verdict.reason, verdict.low_demand) == (Reason.WELL_TUNED, None)


def test_an_event_loop_is_never_given_fewer_connections_for_low_demand(make_observation):
    current = Settings(WorkerClass.GEVENT, 2, 1, 500)

    assert judge(current, gthread(1, 2), make_observation()).reason is Reason.WELL_TUNED


@pytest.mark.parametrize(("cores_used", "changes"), [(1.2, True), (0.5, False)])
def test_needless_threads_go_only_where_the_load_makes_them_harm(make_observation, cores_used, changes):
    window = make_observation(cpu_seconds_total=15.0 * cores_used)
    verdict = judge(gthread(2, 8), Settings(WorkerClass.SYNC, 2), window, reason=Reason.COMPUTE_BOUND)

    assert (verdict.settings is not None) is changes


def test_warming_up_takes_both_time_and_requests():
    windows = Windows()

    assert "0 of 100 requests" in gate.warming_up(windows, WarmUp(0.0), NOW)
    assert gate.warming_up(windows, WarmUp(0.0, 100.0), NOW) == ""
    assert "5 of 20 s" in gate.warming_up(windows, WarmUp(NOW - 5, 1e6), NOW)


def test_the_backlog_alarm_is_per_pod(make_observation):
    assert gate.is_emergency(Windows(), make_observation(backlog=32.0))
    assert not gate.is_emergency(Windows(), make_observation(backlog=63.0, pods=2.0))


def test_what_the_model_leaves_alone_is_left_alone(make_observation):
    proposal = model.propose(Policy(), make_observation(), SYNC_1)
    same = dataclasses.replace(proposal, settings=SYNC_1, reason=Reason.AT_BOUND)
    situation = gate.Situation(Policy(), TunerState(), Watching(SYNC_1), make_observation(), SYNC_1, NOW)
    verdict = gate.judge(situation, same)

    assert (verdict.settings, verdict.reason) == (None, Reason.AT_BOUND)
