"""One worker beside its siblings, from the same two scrapes; what contradicts itself counts as not known."""

from __future__ import annotations

import pytest

from stablehand_simulator import App
from stablehand_simulator.fluid import FluidCluster
from stablehand_tuner.contracts.settings import Settings, WorkerClass
from stablehand_tuner.contracts.trial import Guard, Trial
from stablehand_tuner.observe.snapshot import Snapshot
from stablehand_tuner.observe.trial_seen import observe_trial

GUARD = Guard(0.02, 0.5, 3.0)
GEVENT = Trial(3, WorkerClass.GEVENT, 1, 100, 60.0, GUARD)


def fluid(app, workers, clients=40):
    cluster = FluidCluster(app, Settings(WorkerClass.GTHREAD, workers, 4), clients=clients)
    cluster.run_until(5.0)
    cluster.servers[0].try_out(GEVENT)
    return cluster


def pair(cluster, first=10.0, second=11.0):
    cluster.run_until(first)
    earlier = cluster.servers[0].snapshot()
    cluster.run_until(second)
    return earlier, cluster.servers[0].snapshot()


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_both_sides_are_seen_and_together_they_are_the_whole(workers):
    earlier, later = pair(fluid(App(compute=0.002, wait=0.05), workers))
    seen = observe_trial(earlier, later)
    everything = sum(each.requests for each in later.workers.values())
    before = sum(each.requests for each in earlier.workers.values())

    assert (seen.id, seen.state) == (3, "running")
    assert seen.worker.requests > 0
    assert seen.worker.requests + seen.siblings.requests == pytest.approx(everything - before)
    assert seen.siblings.workers_ready == max(1, workers - 1)
    assert seen.worker.mean_seconds == pytest.approx(0.052, rel=0.3)


def test_a_class_that_fails_is_ended_by_the_server_and_nothing_is_seen_of_its_worker_any_more():
    app = App(compute=0.002, wait=0.05, error_share={WorkerClass.GEVENT: 1.0})
    earlier, later = pair(fluid(app, 2))
    seen = observe_trial(earlier, later)

    assert (seen.state, seen.worker) == ("failed", None)
    assert 0 < sum(each.errors for each in later.workers.values()) < 50


def samples(**changes):
    """Return an exposition with a trial; `changes` replace or remove its series by name."""
    cluster = fluid(App(compute=0.002, wait=0.05), 2)
    cluster.run_until(10.0)
    made = [(name, dict(labels), value) for name, labels, value in cluster.servers[0].samples()]
    for name, series in changes.items():
        made = [each for each in made if each[0] != f"stablehand_{name}"]
        made += [(f"stablehand_{name}", labels, value) for labels, value in series]
    return made


def test_what_a_server_reports_is_read():
    trial = Snapshot.from_samples(samples(), 1.0).trial

    assert (trial.id, trial.state, trial.worker) == (3, "running", 1)


@pytest.mark.parametrize(
    "changes",
    [
        {"trials_total": []},
        {"trial_id": []},
        {"trial_id": [({}, 1.5)]},
        {"trial_state": []},
        {"trial_state": [({"state": "running"}, 1), ({"state": "booting"}, 1)]},
        {"worker_on_trial": [({"worker": "9"}, 1)]},
    ],
    ids=str,
)
def test_a_server_that_contradicts_itself_counts_as_one_that_knows_no_trials(changes):
    assert Snapshot.from_samples(samples(**changes), 1.0).trial is None


def test_a_trial_on_all_workers_has_no_siblings_to_be_compared_with():
    everyone = samples(worker_on_trial=[({"worker": "0"}, 1), ({"worker": "1"}, 1)])

    assert Snapshot.from_samples(everyone, 1.0).trial.worker is None


def test_a_trial_that_began_between_the_scrapes_shows_nothing_yet():
    earlier, later = pair(fluid(App(compute=0.002, wait=0.05), 2), first=5.5, second=8.0)
    seen = observe_trial(earlier, later)

    assert (seen.state, seen.worker) == ("running", None)
