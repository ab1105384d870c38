from __future__ import annotations

import pytest

from stablehand_bench.errors import BenchError
from stablehand_bench.tuner import contestants, plan, workloads
from stablehand_server.autotune.policy import WINDOWS as AUTOTUNE_WINDOWS

TEN_MINUTES = 600


def test_a_quick_run_takes_ten_minutes_at_most():
    assert plan.make(quick=True).seconds(cores=2) <= TEN_MINUTES


def test_a_whole_run_has_every_app_and_every_load_in_three_rounds():
    whole = plan.make(quick=False)

    assert {workload.name for workload, _ in whole.pairs()} == {workload.name for workload in workloads.ALL}
    assert len(whole.pairs()) == sum(len(workload.loads) for workload in workloads.ALL)
    assert (whole.rounds, whole.parts) == (3, ("contest", "flip", "steady"))


def test_loads_are_closed_at_several_concurrencies_and_open_at_a_fixed_rate():
    loads = {load for _, load in plan.make(quick=False).pairs()}

    assert {load.connections for load in loads if load.schedule is None} == {16, 64}
    assert sum(load.schedule is not None for load in loads) >= 3


def test_flips_come_every_three_minutes_for_fifteen_and_steady_load_lasts_thirty():
    whole = plan.make(quick=False)

    assert (whole.flip_seconds, whole.flips * whole.flip_seconds, whole.steady_seconds) == (180, 900, 1800)


def test_before_steady_load_a_tuner_is_calm_for_longer_than_it_waits_before_it_shrinks():
    windows = AUTOTUNE_WINDOWS
    before = windows.trial_seconds + windows.cool_down_seconds + 2 * windows.decision_seconds
    assert plan.make(quick=False).steady.calm > before + windows.shrink_seconds


def test_five_kinds_carry_the_prize():
    assert {workload.name for workload in workloads.ALL if workload.prize} == {
        "wait-100",
        "wait-400",
        "compute-10",
        "mixed",
        "blocking-c",
    }


def test_everyone_is_measured_beside_the_twelve_apps_and_the_documented_default_beside_all():
    whole = plan.make(quick=False)
    twelve = [workload for workload in workloads.ALL if not workload.extra]

    assert len(twelve) == 12
    assert all(whole.peers(workload, 2) == contestants.PEERS for workload in twelve)
    assert all(contestants.DOCUMENTED in whole.peers(workload, 2) for workload in workloads.ALL)


def test_what_is_asked_for_wins_over_the_defaults():
    asked = plan.make(quick=False, parts=["flip"], names=["hello"], rounds=7)

    assert (asked.parts, asked.names, asked.rounds) == (("flip",), ("hello",), 7)
    assert asked.seconds(cores=2) == 900


@pytest.mark.parametrize("wrong", [{"names": ["helo"]}, {"parts": ["dance"]}])
def test_an_unknown_name_is_refused_with_those_that_are_known(wrong):
    with pytest.raises(BenchError, match="known are"):
        plan.make(quick=False, **wrong)


def test_bursts_are_measured_in_whole_periods():
    (bursts,) = workloads.BY_NAME["bursty"].loads

    assert [bursts.whole(seconds) for seconds in (4, 10, 11)] == [10, 10, 20]
    assert workloads.CLOSED_64.whole(4) == workloads.at_rate(100).whole(4) == 4
