"""What is promised of a trial: it harms few requests, it ends without anyone's help, and it is not run again."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import os
import signal
import threading
import time
from typing import TYPE_CHECKING

import pytest

from stablehand_server.master.trial.answers import ENOUGH
from stablehand_tuner.contracts.metric_names import TRIAL_OUTCOMES, TRIAL_STATES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stablehand_dev.load import BackgroundLoad

pytestmark = pytest.mark.integration

ALL = {"workerClass": "gthread", "workers": 2, "threads": 8, "workerConnections": 1000}
GUARD = {"failedShare": 0.02, "lateSeconds": 0.2, "unservedSeconds": 1}
TRIAL = {
    "on": "worker",
    "workerClass": "gevent",
    "threads": 1,
    "workerConnections": 1000,
    "seconds": 30,
    "guard": GUARD,
}
CONNECTIONS = 8
MANY = 20  # connections of 20 ms a request: a thousand requests a second


class OnTrial:
    """A server that runs ALL, and the trials that it is told to run."""

    def __init__(self, server, until):
        self.server = server
        self.until = until
        self.harm = server.directory / "harm"
        self._ids = itertools.count(1)
        self._counted = {}

    def settle(self, settings=ALL):
        """Return when the server runs these settings, and no trial."""
        self.harm.unlink(missing_ok=True)
        self.server.write(json.dumps(settings))
        active = (settings["workerClass"], settings["workers"], settings["threads"])
        self.until(lambda: self.server.active() == active and self.server.settled(settings["workers"]))

    def try_out(self, *, settings=ALL, **changes):
        """Write a settings file with another trial, and return the trial."""
        trial = {"id": next(self._ids), **TRIAL, **changes}
        self.server.write(json.dumps({**settings, "trial": trial}))
        return trial

    def state(self, trial):
        """Return the state of the trial, or none before the server has read it."""
        samples = self.server.scrape()
        if samples["stablehand_trial_id", frozenset()] != trial["id"]:
            return None
        states = [each for each in TRIAL_STATES if samples["stablehand_trial_state", frozenset({("state", each)})]]
        (state,) = states
        return state

    def begin(self, **changes):
        """Return a new trial once it runs, and the process of its worker."""
        before = self.server.workers()
        trial = self.try_out(**changes)
        self.until(lambda: self.state(trial) == "running")
        self.until(lambda: self.server.metric("workers", state="ready") == max(2, self.workers(changes)))
        (pid,) = self.server.workers() - before
        return trial, pid

    @staticmethod
    def workers(changes):
        """Return how many workers the changed settings ask for."""
        return changes.get("settings", ALL)["workers"]

    def ended(self):
        """Return how many trials ended since the last call, by outcome."""
        counted = {each: self.server.metric("trials_total", outcome=each) for each in TRIAL_OUTCOMES}
        more = {each: count - self._counted.get(each, 0) for each, count in counted.items()}
        self._counted = counted
        return {each: count for each, count in more.items() if count}

    def on_trial(self):
        """Return which workers are on trial."""
        samples = self.server.scrape().items()
        return {dict(labels)["worker"] for (name, labels), on in samples if name == "stablehand_worker_on_trial" and on}

    def classes(self):
        """Return the class of each worker, by its index."""
        labels = (dict(labels) for name, labels in self.server.scrape() if name == "stablehand_worker_info")
        return {each["worker"]: each["worker_class"] for each in labels}

    @contextlib.contextmanager
    def load(self, connections=CONNECTIONS) -> Iterator[BackgroundLoad]:
        """Load the app."""
        with self.server.load(connections) as load:
            self.until(lambda: load.last().completed)
            yield load


@pytest.fixture(scope="module")
def shared(launch_shared, until):
    return OnTrial(launch_shared(ALL, "--graceful-timeout", "2", app="harmful:app"), until)


@pytest.fixture
def on_trial(shared):
    """The server, which runs ALL and no trial, and has counted none."""
    shared.settle()
    shared.ended()
    return shared


def test_a_class_that_fails_all_requests_fails_few_and_is_not_run_again(on_trial, until):
    server = on_trial.server
    on_trial.harm.write_text("fail")
    with on_trial.load(MANY) as load:
        trial = on_trial.try_out()
        until(lambda: on_trial.state(trial) == "failed" and server.settled(2))
        assert on_trial.classes() == dict.fromkeys("01", "gthread")
        boots = server.log().count("Booting worker")

        server.write(json.dumps({**ALL, "trial": trial}, indent=1))
        until(lambda: f"Trial {trial['id']} is not run" in server.log())
        server.write(json.dumps({**ALL, "workers": 3, "trial": trial}))
        until(lambda: server.settled(3))
        server.signal(signal.SIGHUP)
        until(lambda: server.log().count("Booting worker") == boots + 4)
        until(lambda: server.settled(3))
        result = load.stop()

    assert 0 < result.failed < 50, result.failures
    assert on_trial.classes() == dict.fromkeys("012", "gthread")
    assert (on_trial.ended(), on_trial.state(trial), on_trial.on_trial()) == ({"failed": 1}, "failed", set())


def test_a_class_that_refuses_what_was_never_refused_ends_a_trial_as_soon(on_trial, until):
    on_trial.harm.write_text("refuse")
    with on_trial.load(MANY) as load:
        until(lambda: load.last().completed > ENOUGH)
        trial = on_trial.try_out()
        until(lambda: on_trial.state(trial) == "changed" and on_trial.server.settled(2))
        result = load.stop()

    assert 0 < result.failed < 50, result.failures
    assert on_trial.ended() == {"changed": 1}


def test_a_loop_that_is_blocked_ends_a_trial(on_trial, until):
    on_trial.harm.write_text("block")
    with on_trial.load() as load:
        trial = on_trial.try_out()
        until(lambda: on_trial.state(trial) == "late", 60)
        until(lambda: on_trial.server.settled(2))
        result = load.stop()

    assert on_trial.ended() == {"late": 1}
    assert result.failures == {}, result.examples


def test_requests_that_never_finish_end_a_trial_and_are_cut_after_the_grace_period(on_trial, until):
    on_trial.harm.write_text("hang")
    with on_trial.load(MANY) as load:  # of which some get there: a single one would prove nothing
        trial = on_trial.try_out()
        until(lambda: on_trial.state(trial) == "unserved", 60)
        until(lambda: on_trial.server.settled(2))
        result = load.stop()

    assert on_trial.ended() == {"unserved": 1}
    assert 0 < result.failed < MANY, result.failures


def test_a_trial_that_nobody_confirms_ends_by_itself_without_a_failed_request(on_trial, until):
    with on_trial.load() as load:
        trial, worker = on_trial.begin(seconds=1)  # and the file is never touched again
        assert on_trial.on_trial() == {"1"}
        assert on_trial.classes() == {"0": "gthread", "1": "gevent"}
        until(lambda: on_trial.state(trial) == "expired" and on_trial.server.settled(2))
        result = load.stop()

    assert worker not in on_trial.server.workers()
    assert on_trial.classes() == dict.fromkeys("01", "gthread")
    assert on_trial.ended() == {"expired": 1}
    assert result.failures == {}, result.examples


def test_harm_is_over_and_an_ordinary_worker_serves_again_within_a_second_without_the_exporter(on_trial, until):
    server = on_trial.server
    with on_trial.load(MANY) as load:
        trial, worker = on_trial.begin()
        others = server.workers() - {worker}
        (exporter,) = server.children() - server.workers()
        os.kill(exporter, signal.SIGSTOP)
        try:
            on_trial.harm.write_text("fail")
            began = time.monotonic()
            until(lambda: server.workers() - others - {worker})
            (successor,) = server.workers() - others - {worker}
            until(lambda: server.get() == (200, str(successor)))
            seconds = time.monotonic() - began
        finally:
            os.kill(exporter, signal.SIGKILL)
        until(lambda: server.readiness() == 200)
        until(lambda: server.settled(2))
        result = load.stop()

    assert seconds < 1.0
    assert (on_trial.ended(), on_trial.state(trial)) == ({"failed": 1}, "failed")
    assert result.failed < 50, result.failures


def test_a_confirmed_trial_keeps_its_worker_and_one_withdrawn_costs_no_request(on_trial, until):
    gevent = {"workerClass": "gevent", "workers": 2, "threads": 1, "workerConnections": 1000}
    with on_trial.load() as load:
        withdrawn, first = on_trial.begin()
        on_trial.settle()
        assert on_trial.state(withdrawn) == "withdrawn"
        until(lambda: first not in on_trial.server.workers())

        confirmed, second = on_trial.begin()
        on_trial.settle(gevent)
        assert on_trial.state(confirmed) == "confirmed"
        assert second in on_trial.server.workers()
        assert on_trial.classes() == dict.fromkeys("01", "gevent")
        result = load.stop()

    assert result.failures == {}, result.examples
    assert on_trial.ended() == {"withdrawn": 1, "confirmed": 1}


def test_a_worker_on_trial_that_dies_or_does_not_boot_is_followed_by_an_ordinary_one(on_trial, until):
    trial, worker = on_trial.begin()
    os.kill(worker, signal.SIGKILL)
    until(lambda: on_trial.state(trial) == "died" and on_trial.server.settled(2))
    assert on_trial.classes() == dict.fromkeys("01", "gthread")

    on_trial.harm.write_text("boot")
    serving = on_trial.server.workers()
    trial = on_trial.try_out()
    until(lambda: on_trial.state(trial) == "boot_failure" and on_trial.server.settled(2))
    assert on_trial.server.workers() == serving
    assert "does not import under gevent" in on_trial.server.log()
    assert on_trial.ended() == {"died": 1, "boot_failure": 1}


@pytest.mark.parametrize(("number", "workers"), [(signal.SIGTTIN, 3), (signal.SIGHUP, 2)])
def test_what_else_is_asked_of_the_server_ends_a_trial(on_trial, until, number, workers):
    trial, _ = on_trial.begin()
    on_trial.server.signal(number)

    until(lambda: on_trial.state(trial) == "withdrawn")
    # a reload withdraws it before it replaces the workers
    ordinary = dict.fromkeys(map(str, range(workers)), "gthread")
    until(lambda: on_trial.server.settled(workers) and on_trial.classes() == ordinary)


def test_a_trial_runs_beside_a_single_worker_and_leaves_it_alone(on_trial, until):
    alone = {**ALL, "workers": 1}
    on_trial.settle(alone)
    (only,) = on_trial.server.workers()
    trial, beside = on_trial.begin(settings=alone, seconds=1)

    assert on_trial.on_trial() == {"1"}
    assert {only, beside} == on_trial.server.workers()
    until(lambda: on_trial.state(trial) == "expired" and on_trial.server.settled(1))
    assert on_trial.server.workers() == {only}


def test_a_file_with_an_impossible_trial_is_refused_as_a_whole(on_trial, until):
    trial, worker = on_trial.begin()
    rejected = on_trial.server.switches("rejected")
    on_trial.try_out(workerClass="puma")
    until(lambda: on_trial.server.switches("rejected") == rejected + 1)

    assert on_trial.server.metric("settings_refused") == 1
    assert on_trial.state(trial) == "running"
    assert worker in on_trial.server.workers()


def test_a_server_that_starts_with_a_trial_in_its_file_does_not_run_it(launch, until, tmp_path):
    trial = {"id": 5, **TRIAL}
    (tmp_path / "settings.json").write_text(json.dumps({**ALL, "trial": trial}))
    started = OnTrial(launch(app="harmful:app"), until)

    assert started.state(trial) == "not_started"
    assert "Trial 5 is not run: it was in the settings file already" in started.server.log()
    assert started.classes() == dict.fromkeys("01", "gthread")
    started.server.write(json.dumps({**ALL, "trial": {**trial, "id": 6}}))
    until(lambda: started.state({"id": 6}) == "running")


class Visitor(threading.Thread):
    """Logs in, looks at the app again and again, and logs in again when it is told to."""

    def __init__(self, port):
        super().__init__()
        self._port = port
        self._cookie = ""
        self.leaves = False
        self.seen = self.refused = 0

    def run(self):
        """Visit until told to leave."""
        self._ask("/login")
        while not self.leaves:
            self.seen += 1
            if self._ask("/") == 401:
                self.refused += 1
                self._ask("/login")

    def _ask(self, path):
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
        try:
            connection.request("GET", path, headers={"Cookie": self._cookie})
            response = connection.getresponse()
            response.read()
        finally:
            connection.close()
        self._cookie = response.headers.get("Set-Cookie", self._cookie)
        return response.status


@pytest.fixture
def visitors(request):
    """Let some visit a server until the test is over."""
    started = []

    def visit(server, number):
        started.extend(Visitor(server.port) for _ in range(number))
        for each in started:
            each.start()
        return started

    yield visit
    for each in started:
        each.leaves = True
    for each in started:
        each.join()


def test_a_second_process_that_lacks_the_sessions_of_the_first_ends_a_trial(launch, until, visitors, tmp_path):
    alone = {"workerClass": "sync", "workers": 1, "threads": 1, "workerConnections": 1000}
    (tmp_path / "settings.json").write_text(json.dumps(alone))
    server = launch(app="sessions:app")
    started = OnTrial(server, until)
    visiting = visitors(server, 6)
    until(lambda: sum(each.seen for each in visiting) > ENOUGH)
    trial = started.try_out(settings=alone, workerClass="sync")
    until(lambda: started.state(trial) == "unshared")
    until(lambda: server.settled(1))

    assert 0 < sum(each.refused for each in visiting) < 50
    assert "perhaps the app keeps something in its process's memory" in server.log()
