"""ASGI apps, and processes that compute on more than one core."""

from __future__ import annotations

import pytest

from stablehand_tuner.contracts.metric_names import CPU_COUNT, CPU_LIMIT_CORES, GIL_ENABLED
from stablehand_tuner.contracts.settings import Settings, WorkerClass
from stablehand_tuner.controller import TunerState, step
from stablehand_tuner.model import propose as model
from stablehand_tuner.observe.load import Load
from stablehand_tuner.observe.snapshot import Snapshot
from stablehand_tuner.policy import Policy
from stablehand_tuner.reasons import Reason

ASGI_1 = Settings(WorkerClass.ASGI, 1)
READY = Policy.from_mapping({"windows": {"warmUpSeconds": 0, "warmUpRequests": 0}})
CLASSES = frozenset({"sync", "gthread", "gevent", "asgi"})


@pytest.fixture
def full(make_observation):
    """One asgi worker that fills its core, with 60 requests in it."""
    return make_observation(
        settings=ASGI_1,
        available_classes=CLASSES,
        requests=15.0 * 200,
        busy_seconds_total=15.0 * 60,
        cpu_seconds_total=15.0 * 0.97,
        busiest_worker_cores=0.97,
        backlog=0.0,
        peak_demand=64.0,
        connections=64.0,
    )


def test_an_asgi_app_gets_more_processes_and_no_other_class(full):
    proposal = model.propose(Policy(), full, ASGI_1)

    assert proposal.settings == Settings(WorkerClass.ASGI, 2)
    assert step(READY, TunerState(), {"pod": full}, 100.0)[1][0].settings == proposal.settings


def test_its_connections_are_never_fewer_and_an_idle_one_is_left_alone(full, make_observation):
    idle = make_observation(settings=ASGI_1, available_classes=CLASSES, backlog=0.0, peak_demand=1.0)
    _, (decision,) = step(READY, TunerState(), {"pod": idle}, 100.0)

    assert model.propose(Policy(), full, ASGI_1).settings.worker_connections == 1000
    assert decision.settings is None


def test_other_apps_are_never_given_to_asgi(make_observation):
    for demand in (2.0, 64.0, 400.0):
        seen = make_observation(available_classes=CLASSES, backlog=demand, peak_demand=demand + 1)
        settings = model.propose(Policy(), seen, Settings(WorkerClass.SYNC, 1)).settings

        assert settings.worker_class is not WorkerClass.ASGI


def test_a_policy_without_asgi_leaves_an_asgi_app_alone(full):
    policy = Policy.from_mapping({**READY.to_mapping(), "workerClasses": ["sync", "gthread", "gevent"]})
    _, (decision,) = step(policy, TunerState(), {"pod": full}, 100.0)

    assert (decision.settings, decision.reason) == (None, Reason.CLASS_NOT_TUNED)
    assert "the policy does not allow asgi" in decision.message


def test_a_wsgi_app_behind_the_bridge_is_left_alone_and_threads_are_suggested(make_observation):
    bridged = make_observation(settings=Settings(WorkerClass.ASGI, 2, 8), slots=16.0)
    _, (decision,) = step(READY, TunerState(), {"pod": bridged}, 100.0)

    assert decision.reason is Reason.CLASS_NOT_TUNED
    assert "16 slots" in decision.message


def test_in_a_free_threaded_build_threads_take_the_place_of_processes(make_observation):
    current = Settings(WorkerClass.SYNC, 1)
    computing = make_observation(
        cores=4.0,
        cores_per_process=4.0,
        requests=15.0 * 50,
        cpu_seconds_total=14.9,
        busiest_worker_cores=0.99,
        backlog=20.0,
        peak_demand=21.0,
    )
    load = Load.of(computing, current)

    assert (load.whole_cores, load.worker_full) == (1, False)
    assert model.propose(Policy(), computing, current).settings == Settings(WorkerClass.GTHREAD, 1, 4)


@pytest.mark.parametrize(("gil", "cores"), [(1.0, 1.0), (0.0, 2.0), (None, 1.0)])
def test_a_server_reports_whether_a_process_has_a_lock_and_one_that_does_not_report_it_has(samples, gil, cores):
    others = [each for each in samples if each[0] != GIL_ENABLED.sample_name]
    said = [] if gil is None else [(GIL_ENABLED.sample_name, {}, gil)]

    assert Snapshot.from_samples([*others, *said], at=1.0).cores_per_process == cores


@pytest.mark.parametrize(
    ("limit", "requested", "cores"),
    [(2.0, 0.5, 2.0), (None, 3.0, 3.0), (None, 0.1, 1.0), (None, 16.0, 8.0), (None, None, 8.0)],
)
def test_cores_come_from_the_limit_else_the_request_else_the_machine(samples, limit, requested, cores):
    names = {CPU_LIMIT_CORES.sample_name, CPU_COUNT.sample_name}
    said = [each for each in samples if each[0] not in names] + [(CPU_COUNT.sample_name, {}, 8.0)]
    if limit is not None:
        said.append((CPU_LIMIT_CORES.sample_name, {}, limit))

    assert Snapshot.from_samples(said, at=1.0, requested_cores=requested).cores == cores
