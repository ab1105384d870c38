from __future__ import annotations

import math

import pytest

from stablehand_tuner.contracts.settings import Settings, WorkerClass
from stablehand_tuner.observe.aggregation import combine, merge

BUCKETS = ((0.1, 10.0), (math.inf, 20.0))


def test_consecutive_observations_merge_into_their_whole_time(make_observation):
    busy = make_observation(seconds=5.0, requests=100.0, busy_seconds_total=10.0, backlog=9.0, peak_demand=11.0)
    idle = make_observation(seconds=15.0, requests=0.0, busy_seconds_total=0.0, backlog=1.0, peak_demand=1.0)
    whole = merge(busy, idle)

    assert (whole.seconds, whole.requests_per_second, whole.in_app) == (20.0, 5.0, 0.5)
    assert whole.backlog == 3.0
    assert whole.peak_demand == 11.0
    assert whole.steady


def test_histograms_add_up_over_the_buckets_that_both_have(make_observation):
    one = make_observation(duration_buckets=BUCKETS)
    other = make_observation(duration_buckets=((0.1, 1.0), (0.5, 2.0), (math.inf, 3.0)))

    assert merge(one, one).duration_buckets == ((0.1, 20.0), (math.inf, 40.0))
    assert merge(one, other).duration_buckets == ((0.1, 11.0), (math.inf, 23.0))


def test_pods_combine_into_the_apps_view(make_observation):
    one = make_observation(seconds=5.0, requests=100.0, cores=2.0, busiest_worker_cores=0.2, worker_memory_bytes=1.0)
    # scraped a little later: its sums are brought to the same length of time
    two = make_observation(seconds=10.0, requests=200.0, cores=2.0, busiest_worker_cores=0.9, worker_memory_bytes=None)
    app = combine([one, two])

    assert (app.pods, app.cores) == (2.0, 4.0)
    assert app.requests_per_second == pytest.approx(20.0 + 20.0)
    assert app.busiest_worker_cores == 0.9
    assert app.worker_memory_bytes == 1.0


def test_the_apps_view_has_only_what_all_pods_agree_on(make_observation):
    one = make_observation(memory_limit_bytes=5.0, blocking_modules=frozenset({"grpc"}))
    two = make_observation(
        settings=Settings(WorkerClass.SYNC, 2), memory_limit_bytes=None, available_classes=frozenset({"sync"})
    )
    app = combine([one, two])

    assert (app.settings_active, app.settings_desired, app.steady) == (None, None, False)
    assert app.available_classes == {"sync"}
    assert app.blocking_modules == {"grpc"}
    assert app.memory_limit_bytes == 5.0


def test_pods_and_time_may_be_added_up_in_either_order(make_observation):
    first = [make_observation(seconds=5.0, requests=float(count)) for count in (10, 30)]
    second = [make_observation(seconds=5.0, requests=float(count)) for count in (20, 40)]
    by_time = merge(combine(first), combine(second))
    by_pod = combine([merge(one, two) for one, two in zip(first, second, strict=True)])

    assert by_time == by_pod


def test_no_observations_cannot_be_joined():
    with pytest.raises(ValueError, match="no observation to join"):
        combine([])


def test_the_smallest_pool_of_any_pod_is_that_of_the_app(make_observation):
    none, small, large = (make_observation(pool_size=size, pool_in_use=size / 2) for size in (0.0, 4.0, 16.0))
    app = combine([none, large, small])

    assert app.pool_size == 4.0
    assert app.pool_in_use == pytest.approx(10.0 / 3)
    assert merge(large, small).pool_in_use == pytest.approx(5.0)
