"""Steps of a climb that the servers guard by themselves: what their file has, and what follows when one goes back."""

from __future__ import annotations

import json

import pytest

from stablehand_tuner.contracts.settings import Settings, WorkerClass
from stablehand_tuner.contracts.trial import TrialOn
from stablehand_tuner.controller import TunerState, step
from stablehand_tuner.lifecycle.guarding import can_undo
from stablehand_tuner.lifecycle.phases import Climbing, Watching
from stablehand_tuner.observe.trial_seen import TrialSeen
from stablehand_tuner.policy import Policy
from stablehand_tuner.reasons import Reason

SYNC, GTHREAD, GEVENT = (WorkerClass.SYNC, WorkerClass.GTHREAD, WorkerClass.GEVENT)
START = Settings(GTHREAD, 2, 4)
NO_EVENT_LOOP = {"workerClasses": ["sync", "gthread"]}


class Server:
    """A server whose requests wait 100 ms, under 64 clients; it ends each step beyond so many slots by itself."""

    def __init__(self, make_observation, limit, *, knows_trials=True):
        self.make, self.limit, self.knows_trials = make_observation, limit, knows_trials
        self.runs, self.report = START, TrialSeen(0, "")
        self.exposed = 0

    def observe(self, seconds):
        """Return what it has shown for so long."""
        requests = 10.0 * min(64, self.runs.slots) * seconds
        return self.make(
            settings=self.runs,
            seconds=seconds,
            requests=requests,
            busy_seconds_total=min(64, self.runs.slots) * seconds,
            cpu_seconds_total=0.0015 * requests,
            backlog=max(0.0, 64.0 - self.runs.slots),
            duration_buckets=((0.25, requests), (float("inf"), requests)),
        )

    def read(self, file):
        """Follow the file, as a server does."""
        if self.report.state == "running":
            self.report = TrialSeen(self.report.id, "confirmed" if file.settings == self.runs else "withdrawn")
        self.runs = file.settings
        if file.trial is not None and file.trial.id > self.report.id:
            assert file.trial.on is TrialOn.ALL
            tried = file.trial.settings(file.trial.workers)
            harms = tried.slots > self.limit
            self.exposed += harms
            self.runs = file.settings if harms else tried
            self.report = TrialSeen(file.trial.id, "failed" if harms else "running")


class Tuned:
    """Some servers, by pod, that the tuner gives one file."""

    def __init__(self, *servers, canaries=False):
        self.servers = {f"pod-{number}": server for number, server in enumerate(servers)}
        self.canaries = canaries
        self.state, self.now, self.files = TunerState(), 1000.0, []

    @property
    def runs(self):
        """What the first one runs."""
        return self.servers["pod-0"].runs

    @property
    def exposed(self):
        """How many steps did harm."""
        return sum(each.exposed for each in self.servers.values())

    def round(self):
        """Let time pass, the tuner go one round, and the servers read their file."""
        seconds = self.state.scrape_within or 5.0
        self.now += seconds
        seen = {pod: each.observe(seconds) for pod, each in self.servers.items()}
        trials = {pod: each.report for pod, each in self.servers.items() if each.knows_trials}
        state = TunerState.from_mapping(json.loads(json.dumps(self.state.to_mapping())))
        policy = Policy.from_mapping(NO_EVENT_LOOP)
        self.state, _ = step(policy, state, seen, self.now, canaries=self.canaries, trials=trials)
        assert self.state.canary is None, "slots that grow in place are for all at once"
        if self.state.file is not None and self.state.file != (self.files or [None])[-1]:
            self.files.append(self.state.file)
            for each in self.servers.values():
                each.read(self.state.file)


@pytest.fixture
def tuned(make_observation):
    """Return a function: what servers show that were tuned for some rounds, each with its limit."""

    def run(*limits, rounds=80, canaries=False, **options):
        servers = [Server(make_observation, limit, **options) for limit in limits or [1000]]
        made = Tuned(*servers, canaries=canaries)
        for _ in range(rounds):
            made.round()
        return made

    return run


def test_each_step_is_a_trial_on_all_and_the_next_one_confirms_it(tuned):
    server = tuned()
    steps = [each for each in server.files if each.trial is not None]

    assert [each.settings.slots for each in steps[1:]] == [each.trial.settings(2).slots for each in steps[:-1]]
    assert [each.trial.id for each in steps] == list(range(1, len(steps) + 1))
    assert server.files[-1].trial is None, "at its end it is confirmed"
    assert isinstance(server.state.phase, Watching)
    assert server.runs.slots >= 64


@pytest.mark.parametrize("limit", [9, 12, 20, 31, 45])
def test_where_the_server_goes_back_the_limit_is_searched_for_and_remembered(tuned, limit):
    server = tuned(limit)
    ceiling = next(each for each in server.state.known.ceilings.known if each.reason is Reason.TRIAL_ERRORS)

    assert 0.75 * limit <= server.runs.slots <= limit
    assert ceiling.good <= limit < ceiling.bad
    assert server.exposed <= 4


def test_a_limit_that_is_known_is_not_touched_again(tuned):
    server = tuned(20)
    exposed = server.exposed
    for _ in range(300):
        server.round()

    assert server.exposed == exposed


def test_without_a_server_that_can_steps_have_no_guard(tuned):
    server = tuned(rounds=30, knows_trials=False)

    assert all(each.trial is None for each in server.files)
    assert server.runs.slots >= 64


def test_where_one_of_several_servers_goes_back_the_others_do_with_the_next_file(tuned):
    pods = tuned(1000, 20, 1000, canaries=True)

    assert {each.runs for each in pods.servers.values()} == {pods.runs}
    assert 12 <= pods.runs.slots <= 20
    assert pods.state.known.ceilings.known[0].reason is Reason.TRIAL_ERRORS
    assert pods.state.known.refused == ()


def test_a_server_that_starts_in_the_middle_of_a_step_ends_no_more_than_the_guard(tuned, make_observation):
    pods = tuned(1000, 1000, rounds=0, canaries=True)
    while pods.state.trial is None:
        pods.round()
    new = pods.servers["pod-2"] = Server(make_observation, 1000)
    new.report, new.runs = TrialSeen(pods.state.trial.id, "not_started"), pods.files[-1].settings
    for _ in range(60):
        pods.round()

    assert {each.runs for each in pods.servers.values()} == {pods.runs}
    assert pods.runs.slots >= 64
    assert pods.state.known.refused == ()


@pytest.mark.parametrize(("state", "is_refused"), [("expired", False), ("withdrawn", True)])
def test_a_step_that_the_server_does_not_run_to_its_end_is_the_last_and_no_fault_if_nobody_confirmed_it(
    tuned, state, is_refused
):
    server = tuned(rounds=0)
    while not isinstance(server.state.phase, Climbing):
        server.round()
    (only,) = server.servers.values()
    only.report = TrialSeen(only.report.id, state)
    only.runs = server.files[-1].settings
    for _ in range(3):
        server.round()

    assert server.runs == START
    assert server.state.trial is None
    assert bool(server.state.known.refused) is is_refused
    for _ in range(80):
        server.round()
    assert (server.runs.slots >= 64) is not is_refused


@pytest.mark.parametrize(
    ("best", "target", "can"),
    [
        (Settings(GTHREAD, 2, 4), Settings(GTHREAD, 2, 8), True),
        (Settings(GTHREAD, 2, 4), Settings(GTHREAD, 3, 4), True),
        (Settings(GEVENT, 2, 1, 50), Settings(GEVENT, 2, 1, 100), True),
        (Settings(SYNC, 2), Settings(SYNC, 4), True),
        (Settings(SYNC, 2), Settings(GTHREAD, 2, 2), False),
        (Settings(GTHREAD, 2, 4), Settings(GTHREAD, 1, 16), False),
        (Settings(GTHREAD, 2, 4), Settings(GTHREAD, 2, 2), False),
    ],
    ids=str,
)
def test_only_what_can_be_undone_in_place_is_guarded(best, target, can):
    assert can_undo(best, target) is can
