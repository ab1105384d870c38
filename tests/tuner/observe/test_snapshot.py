from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stablehand_simulator import App, Pod
from stablehand_tuner.contracts import metric_names as names
from stablehand_tuner.contracts.settings import Settings, WorkerClass
from stablehand_tuner.observe.snapshot import IncompleteSnapshot, Snapshot


def without(samples, sample_name, /, **labels):
    return [
        each
        for each in samples
        if each[0] != sample_name or any(each[1].get(key) != value for key, value in labels.items())
    ]


def test_a_scrape_is_reduced_to_what_the_tuner_reads(samples):
    snapshot = Snapshot.from_samples(samples, at=10.0)

    assert snapshot.at == 10.0
    assert sorted(snapshot.workers) == [0, 1]
    assert snapshot.settings_active == snapshot.settings_desired == Settings(WorkerClass.GTHREAD, 2, 4)
    assert snapshot.available_classes == {"sync", "gthread", "gevent"}
    assert snapshot.cores == 2.0
    assert snapshot.duration_buckets[-1] == (math.inf, sum(each.requests for each in snapshot.workers.values()))


@pytest.mark.parametrize(("retiring", "limit", "is_full"), [(0, 2, False), (1, 2, False), (2, 2, True), (5, 2, True)])
def test_a_server_is_full_of_retiring_processes_at_its_limit(samples, retiring, limit, is_full):
    said = [
        *without(samples, names.WORKERS.name, state="retiring"),
        (names.WORKERS.name, {"state": "retiring"}, float(retiring)),
        (names.RETIRE_LIMIT.name, {}, float(limit)),
    ]

    assert Snapshot.from_samples(said, at=1.0).is_full_of_retiring is is_full
    assert not Snapshot.from_samples(samples, at=1.0).is_full_of_retiring  # of an earlier version


def test_samples_that_the_tuner_does_not_read_are_passed_over(samples):
    others = [("python_info", {}, math.nan), ("stablehand_worker_requests_created", {"worker": "0"}, -1.0)]

    assert Snapshot.from_samples([*samples, *others], at=1.0) == Snapshot.from_samples(samples, at=1.0)


@pytest.mark.parametrize(
    "metric",
    [
        names.WORKER_REQUESTS,
        names.WORKER_BUSY_SECONDS,
        names.WORKER_CPU_SECONDS,
        names.WORKERS,
        names.SETTING,
        names.SETTING_WORKER_CLASS_INFO,
    ],
    ids=lambda metric: metric.name,
)
def test_a_scrape_without_a_required_metric_is_refused_by_its_name(samples, metric):
    with pytest.raises(IncompleteSnapshot, match=metric.name):
        Snapshot.from_samples(without(samples, metric.sample_name), at=1.0)


def test_a_scrape_without_the_histograms_last_bucket_is_refused(samples):
    name = f"{names.REQUEST_DURATION_SECONDS.name}_bucket"

    with pytest.raises(IncompleteSnapshot, match=r'le="\+Inf"'):
        Snapshot.from_samples(without(samples, name, le="inf"), at=1.0)


def test_a_scrape_without_cores_is_refused(samples):
    blind = without(without(samples, names.CPU_LIMIT_CORES.name), names.CPU_COUNT.name)

    with pytest.raises(IncompleteSnapshot, match=r"stablehand_cpu_limit_cores and stablehand_cpu_count"):
        Snapshot.from_samples(blind, at=1.0)


def test_without_a_limit_the_count_of_cores_holds_and_a_limit_beyond_it_grants_no_more(samples):
    unlimited = without(samples, names.CPU_LIMIT_CORES.name)
    beyond = [*unlimited, (names.CPU_LIMIT_CORES.name, {}, 64.0)]

    assert Snapshot.from_samples(unlimited, at=1.0).cores == 2.0
    assert Snapshot.from_samples(beyond, at=1.0).cores == 2.0


def test_an_empty_scrape_is_refused():
    with pytest.raises(IncompleteSnapshot):
        Snapshot.from_samples([], at=1.0)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -1.0])
@pytest.mark.parametrize("place", range(0, 60, 7))
def test_a_scrape_with_an_impossible_value_is_refused(samples, place, value):
    name, labels, _ = samples[place % len(samples)]

    with pytest.raises(IncompleteSnapshot, match="no such value can be"):
        Snapshot.from_samples([*samples[:place], (name, labels, value), *samples[place + 1 :]], at=1.0)


def test_a_series_that_is_there_twice_is_refused(samples):
    with pytest.raises(IncompleteSnapshot, match="is there twice"):
        Snapshot.from_samples([*samples, samples[0]], at=1.0)


@pytest.mark.parametrize("worker", ["", "-1", "a", "1.0", "99999", "²"])
def test_a_worker_label_that_is_no_index_is_refused(samples, worker):
    lie = (names.WORKER_BUSY_SECONDS.sample_name, {"worker": worker}, 1.0)

    with pytest.raises(IncompleteSnapshot, match="worker must be an index"):
        Snapshot.from_samples([*samples, lie], at=1.0)


def test_settings_that_no_server_could_run_are_refused(samples):
    labels = {"name": "workers", "kind": "active"}

    for value, sentence in ((0.0, "workers is 0"), (1.5, "no whole number"), (1e9, "workers is 1000000000")):
        lie = [*without(samples, names.SETTING.name, **labels), (names.SETTING.name, labels, value)]
        with pytest.raises(IncompleteSnapshot, match=sentence):
            Snapshot.from_samples(lie, at=1.0)


def test_a_mixture_of_classes_is_no_active_setting(samples):
    second = (names.SETTING_WORKER_CLASS_INFO.name, {"worker_class": "sync", "kind": "active"}, 1.0)

    assert Snapshot.from_samples([*samples, second], at=1.0).settings_active is None


def test_buckets_that_fall_or_have_no_bound_are_refused(samples):
    name = f"{names.REQUEST_DURATION_SECONDS.name}_bucket"
    falling = [*without(samples, name, le="0.005"), (name, {"le": "0.005"}, 1e9)]

    with pytest.raises(IncompleteSnapshot, match="a wider bucket counts less"):
        Snapshot.from_samples(falling, at=1.0)
    with pytest.raises(IncompleteSnapshot, match="le must be a number"):
        Snapshot.from_samples([*samples, (name, {"le": "wide"}, 1.0)], at=1.0)


def test_a_worker_that_lacks_a_counter_yet_is_passed_over(samples):
    new = (names.WORKER_REQUESTS.sample_name, {"worker": "7", "code": "2xx"}, 0.0)

    assert sorted(Snapshot.from_samples([*samples, new], at=1.0).workers) == [0, 1]


def test_memory_is_the_pss_else_the_rss_else_unknown(samples):
    bare = without(samples, names.WORKER_PROPORTIONAL_MEMORY_BYTES.name)
    resident = [(names.WORKER_RESIDENT_MEMORY_BYTES.name, {"worker": "0"}, 7.0)]

    assert Snapshot.from_samples(samples, at=1.0).workers[0].memory_bytes == 50e6
    assert Snapshot.from_samples([*bare, *resident], at=1.0).workers[0].memory_bytes == 7.0
    assert Snapshot.from_samples(bare, at=1.0).workers[0].memory_bytes is None


def _exposition():
    pod = Pod(App(compute=0.001, wait=0.05), Settings(WorkerClass.GTHREAD, 2, 4), clients=8)
    pod.run_until(3.0)
    return [(name, dict(labels), value) for name, labels, value in pod.samples()]


EXPOSITION = _exposition()
NAMES = sorted({name for name, _, _ in EXPOSITION} | {"other"})
LABELS = st.dictionaries(st.sampled_from(["worker", "code", "kind", "name", "le", "worker_class"]), st.text(max_size=4))


@settings(max_examples=60)
@given(
    st.sets(st.integers(0, len(EXPOSITION) - 1)),
    st.lists(st.tuples(st.sampled_from(NAMES), LABELS, st.floats()), max_size=4),
)
def test_no_scrape_raises_anything_but_incomplete_snapshot(dropped, added):
    samples = [each for place, each in enumerate(EXPOSITION) if place not in dropped]
    try:
        snapshot = Snapshot.from_samples([*samples, *added], at=1.0)
    except IncompleteSnapshot:
        return
    assert snapshot.workers
    assert snapshot.cores > 0


def test_of_a_workers_pools_the_smallest_counts(samples):
    pools = [
        ("stablehand_worker_pool_size", {"worker": "0", "library": "sqlalchemy"}, 15.0),
        ("stablehand_worker_pool_in_use", {"worker": "0", "library": "sqlalchemy"}, 3.0),
        ("stablehand_worker_pool_size", {"worker": "0", "library": "psycopg_pool"}, 4.0),
        ("stablehand_worker_pool_in_use", {"worker": "0", "library": "psycopg_pool"}, 2.0),
    ]
    workers = Snapshot.from_samples([*samples, *pools], 0.0).workers

    assert (workers[0].pool_size, workers[0].pool_in_use) == (4.0, 2.0)
    assert (workers[1].pool_size, workers[1].pool_in_use) == (0.0, 0.0)
