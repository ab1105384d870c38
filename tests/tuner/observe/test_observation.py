from __future__ import annotations

import dataclasses
import json
import math

import pytest

from stablehand_simulator import App, Pod
from stablehand_tuner.contracts.settings import Settings, WorkerClass
from stablehand_tuner.observe.observation import CounterReset, Observation, observe


@pytest.fixture
def pair():
    pod = Pod(App(compute=0.002, wait=0.098, jitter=0.0), Settings(WorkerClass.GTHREAD, 2, 4), clients=16)
    pod.run_until(10.0)
    earlier = pod.snapshot()
    pod.run_until(20.0)
    return earlier, pod.snapshot()


def test_rates_obey_littles_law(pair):
    seen = observe(*pair)

    assert seen.seconds == 10.0
    assert seen.requests_per_second == pytest.approx(80, rel=0.05)
    assert seen.in_app == pytest.approx(8, rel=0.01)
    assert seen.mean_seconds == pytest.approx(0.1, rel=0.05)
    assert seen.cpu_seconds_per_request == pytest.approx(0.002, rel=0.05)
    assert seen.cpu_share == pytest.approx(0.02, rel=0.1)
    assert seen.waiting == pytest.approx(8, rel=0.1)
    assert seen.cores_used == pytest.approx(0.16, rel=0.05)
    assert 0.05 < seen.p50_seconds <= seen.p99_seconds <= 0.25
    assert seen.steady


def test_without_requests_there_are_no_values_per_request(make_observation):
    idle = make_observation(
        requests=0.0, busy_seconds_total=0.0, duration_buckets=((0.1, 0.0), (math.inf, 0.0)), cpu_seconds_total=0.0
    )

    assert [idle.mean_seconds, idle.cpu_seconds_per_request, idle.run_delay_per_request, idle.cpu_share] == [None] * 4
    assert [idle.p50_seconds, idle.p99_seconds] == [None, None]
    assert idle.error_share == 0.0


def test_waiting_for_a_core_is_not_taken_for_waiting(make_observation):
    """The trap: 2 × 4 threads of a computing app, as measured: S 21.4 ms, C 8.7 ms, D 17 ms."""
    seen = make_observation(
        requests=1000.0, busy_seconds_total=21.4, cpu_seconds_total=8.7, run_delay_seconds_total=17.0
    )

    assert seen.cpu_share == 1.0


def test_what_child_processes_use_is_used_by_the_app_but_fills_no_worker(pair):
    earlier, later = pair
    workers = {
        index: dataclasses.replace(worker, children_cpu_seconds=8.0 * (index + 1))
        for index, worker in later.workers.items()
    }
    alone, seen = observe(earlier, later), observe(earlier, dataclasses.replace(later, workers=workers))

    assert seen.children_cpu_seconds_total == 24.0
    assert seen.cores_used == pytest.approx(alone.cores_used + 2.4)
    assert seen.busiest_worker_cores == alone.busiest_worker_cores
    assert Observation.from_mapping(json.loads(json.dumps(seen.to_mapping()))) == seen


def test_a_sum_that_is_added_up_in_another_order_is_no_restart(pair):
    earlier, later = pair
    total = 0.1 + 0.2 + 0.3
    reordered = 0.3 + 0.2 + 0.1
    assert reordered < total
    seen = observe(
        dataclasses.replace(earlier, queue_seconds=total * 2048),
        dataclasses.replace(later, queue_seconds=reordered * 2048),
    )

    assert seen.queued == 0.0


def test_a_restarted_server_yields_no_rates(pair):
    earlier, later = pair

    with pytest.raises(CounterReset, match="the server restarted"):
        observe(dataclasses.replace(later, at=0.0), dataclasses.replace(earlier, at=5.0))


def test_a_histogram_that_was_reset_is_a_restart(pair):
    earlier, later = pair
    emptied = tuple((bound, 0.0) for bound, _ in later.duration_buckets)

    with pytest.raises(CounterReset, match="histogram"):
        observe(earlier, dataclasses.replace(later, duration_buckets=emptied))


def test_a_later_scrape_has_to_be_later(pair):
    with pytest.raises(ValueError, match="before the earlier one"):
        observe(pair[1], pair[0])


def test_workers_that_come_and_go_leave_the_rates_true(pair):
    """An index that appears counts from zero, one that disappears takes only its last moments with it."""
    earlier, later = pair
    whole = observe(earlier, later)
    appeared = observe(dataclasses.replace(earlier, workers={0: earlier.workers[0]}), later)
    disappeared = observe(earlier, dataclasses.replace(later, workers={0: later.workers[0]}))

    assert appeared.requests == whole.requests + earlier.workers[1].requests
    assert disappeared.requests == later.workers[0].requests - earlier.workers[0].requests


def test_a_small_step_back_in_accounted_cpu_is_no_restart(pair):
    earlier, later = pair
    worker = dataclasses.replace(later.workers[0], cpu_seconds=earlier.workers[0].cpu_seconds - 0.05)
    seen = observe(earlier, dataclasses.replace(later, workers={**later.workers, 0: worker}))

    assert 0 < seen.cpu_seconds_total < 1


def test_an_observation_across_a_switch_is_not_steady():
    pod = Pod(App(compute=0.002, wait=0.05), Settings(WorkerClass.SYNC, 1), clients=4)
    pod.run_until(5.0)
    earlier = pod.snapshot()
    pod.apply(Settings(WorkerClass.GTHREAD, 2, 2))
    pod.run_until(10.0)
    later = pod.snapshot()
    seen = observe(earlier, later)

    assert not seen.steady
    assert seen.settings_active == Settings(WorkerClass.GTHREAD, 2, 2)
    assert seen.requests > 0


def test_connections_beyond_full_slots_wait_where_queueing_is_not_measured(pair):
    earlier, later = (dataclasses.replace(each, queue_seconds=None) for each in pair)
    workers = {index: dataclasses.replace(each, connections=10.0) for index, each in later.workers.items()}
    seen = observe(earlier, dataclasses.replace(later, workers=workers))

    assert seen.waiting == 20 - 8


def test_an_observation_survives_its_json(pair):
    for seen in (observe(*pair), dataclasses.replace(observe(*pair), settings_active=None, memory_limit_bytes=None)):
        assert Observation.from_mapping(json.loads(json.dumps(seen.to_mapping()))) == seen


@pytest.mark.parametrize("field", ["requests", "seconds", "settings_active", "duration_buckets", "cores"])
@pytest.mark.parametrize("value", ["x", -1, float("nan"), [1]])
def test_a_corrupt_observation_is_refused(pair, field, value):
    fields = observe(*pair).to_mapping()

    with pytest.raises((ValueError, TypeError, KeyError, AttributeError)):
        Observation.from_mapping({**fields, field: value})
