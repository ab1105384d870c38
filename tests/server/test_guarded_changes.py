"""What is promised of a trial on all workers: it goes back in place by itself before many requests have failed."""

from __future__ import annotations

import json
import signal

import pytest

from stablehand_tuner.contracts.metric_names import TRIAL_OUTCOMES, TRIAL_STATES

pytestmark = pytest.mark.integration

MOST = 20  # connections that the app's database gives
ALL = {"workerClass": "gthread", "workers": 1, "threads": 16, "workerConnections": 1000}
GUARD = {"failedShare": 0.02, "lateSeconds": 0.5, "unservedSeconds": 3}
CLIENTS = 64


class Changing:
    """A server whose workers all run what is on trial."""

    def __init__(self, server, until):
        self.server = server
        self._until = until
        self._id = 0

    def try_out(self, settings=ALL, **changes):
        """Write a file with these settings and another trial; return when that is read."""
        self._id += 1
        trial = {**ALL, "id": self._id, "on": "all", "seconds": 20, "guard": GUARD, **changes}
        self.server.write(json.dumps({**settings, "trial": trial}))
        self._until(lambda: self.server.metric("trial_id") == self._id)

    def state(self):
        """Return the state of the newest trial."""
        samples = self.server.scrape()
        states = [each for each in TRIAL_STATES if samples["stablehand_trial_state", frozenset({("state", each)})]]
        (state,) = states
        return state

    def counted(self):
        """Return how many trials have ended, by outcome."""
        counted = {each: self.server.metric("trials_total", outcome=each) for each in TRIAL_OUTCOMES}
        return {each: count for each, count in counted.items() if count}

    def threads(self):
        """Return how many threads are wanted of each worker, how many run, and how many slots the first one has."""
        kinds = [self.server.metric("setting", name="threads", kind=kind) for kind in ("desired", "active")]
        return [*kinds, self.server.metric("worker_slots", worker="0")]

    def go(self, settings=ALL):
        """Have the file ask for settings without a trial, and return when they run and some seconds are served."""
        self.server.configure(*(settings[name] for name in ("workerClass", "workers", "threads")))


@pytest.fixture(scope="module")
def shared(launch_shared, until):
    return Changing(launch_shared(ALL, app="limited:app", APP_MOST=str(MOST), APP_SECONDS="0.04"), until)


@pytest.fixture
def changing(shared):
    (shared.server.directory / "down").unlink(missing_ok=True)
    shared.go()
    return shared


def served(load, until, seconds=2):
    """Return after so many more seconds of load."""
    before = len(load.series)
    until(lambda: len(load.series) >= before + seconds)


def test_twice_the_threads_beyond_the_limit_of_a_database_fail_few_requests_and_are_undone_in_place(changing, until):
    server = changing.server
    workers = server.workers()
    with server.load(CLIENTS) as load:
        until(lambda: load.last().completed)
        served(load, until)
        changing.try_out(threads=32)
        until(lambda: changing.state() == "failed")
        until(lambda: changing.threads() == [16, 16, 16])
        served(load, until)
        result = load.stop()

    assert 0 < result.failed < 50, result.failures
    assert load.series[-1].failed == 0
    assert server.workers() == workers
    assert "of gthread 1 × 32 on all workers has ended (failed)" in server.log()


def test_what_is_confirmed_stays_and_what_follows_in_the_same_file_begins_at_once(changing, until):
    server = changing.server
    workers, done = server.workers(), server.switches("done")
    confirmed = changing.counted().get("confirmed", 0)
    with server.load(CLIENTS) as load:
        until(lambda: load.last().completed)
        changing.try_out(threads=18)
        until(lambda: changing.state() == "running" and changing.threads() == [18, 18, 18])
        assert server.metric("worker_on_trial", worker="0") == 1
        served(load, until)
        changing.try_out({**ALL, "threads": 18}, threads=19)
        until(lambda: changing.state() == "running" and changing.threads() == [19, 19, 19])
        assert server.switches("done") == done + 1
        changing.go({**ALL, "threads": 19})
        until(lambda: changing.state() == "confirmed")
        result = load.stop()

    assert result.failures == {}, result.examples
    assert changing.counted()["confirmed"] == confirmed + 2
    assert changing.threads() == [19, 19, 19]
    assert server.metric("worker_on_trial", worker="0") == 0
    assert server.workers() == workers


def test_what_nobody_confirms_goes_back_with_its_additional_worker_and_fails_no_request(changing, until):
    server = changing.server
    workers = server.workers()
    with server.load(8) as load:
        until(lambda: load.last().completed)
        changing.try_out(workers=2, threads=8, seconds=1)
        until(lambda: changing.state() == "running")
        assert workers < server.workers()
        until(lambda: changing.state() == "expired" and server.settled(1))
        result = load.stop()

    assert result.failures == {}, result.examples
    assert server.workers() == workers
    assert changing.threads() == [16, 16, 16]


def test_a_database_that_is_down_before_and_meanwhile_is_no_evidence(changing, until):
    with changing.server.load(8) as load:
        until(lambda: load.last().completed)
        (changing.server.directory / "down").touch()
        served(load, until)
        changing.try_out(threads=18, seconds=1)
        until(lambda: changing.state() not in {"booting", "running"})
        load.stop()
    assert changing.state() == "expired"


@pytest.mark.parametrize(("number", "workers"), [(signal.SIGTTIN, 2), (signal.SIGHUP, 1)])
def test_what_else_is_asked_of_the_server_withdraws_it(changing, until, number, workers):
    changing.try_out(threads=18)
    until(lambda: changing.state() == "running")
    changing.server.signal(number)

    until(lambda: changing.state() == "withdrawn" and changing.server.settled(workers))
    until(lambda: changing.threads() == [16, 16, 16])


def test_a_change_that_could_not_be_undone_in_place_is_refused(changing, until):
    rejected = changing.server.switches("rejected")
    tornado = {**ALL, "workerClass": "tornado", "threads": 1}
    trial = {**tornado, "id": 1000, "on": "all", "workerConnections": 50, "seconds": 20, "guard": GUARD}
    changing.server.write(json.dumps({**tornado, "trial": trial}))
    until(lambda: changing.server.switches("rejected") == rejected + 1)

    assert "all workers cannot change from tornado 1 to tornado 1 and back while they serve" in changing.server.log()
    assert changing.server.active()[0] == "gthread"
