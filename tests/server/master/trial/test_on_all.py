from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest

from stablehand_server.config.flags import ServerConfig
from stablehand_server.master import generation as generations
from stablehand_server.master.supervisor import Ending
from stablehand_server.master.trial import on_all
from stablehand_server.master.trial.on_all import Asked
from stablehand_server.shared_memory import Cell, Server
from stablehand_tuner.contracts.metric_names import STATUS_CODES, SWITCH_OUTCOMES
from stablehand_tuner.contracts.settings import Settings
from stablehand_tuner.contracts.trial import Guard, Trial, TrialOn

LOG = logging.getLogger(__name__)
FORMER, TRIED = Settings("gthread", 2, 16), Settings("gthread", 2, 32)
MORE = Settings("gthread", 3, 32)
OK, BROKEN = STATUS_CODES.index("2xx"), STATUS_CODES.index("5xx")


def generation(settings, number=1):
    return generations.from_settings(ServerConfig(), settings, number, "a file", LOG)


def asked(settings=TRIED, number=1):
    """Return a trial of the settings on all workers."""
    guard = Guard(0.02, 0.5, 2.0)
    counts = settings.threads, settings.worker_connections
    trial = Trial(number, settings.worker_class, *counts, 10.0, guard, TrialOn.ALL, settings.workers)
    return Asked(trial, generation(settings))


@pytest.fixture
def clock(monkeypatch):
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(on_all, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


class OnAll:
    """A server that runs FORMER, whose clock the test sets."""

    def __init__(self, master, clock):
        self.master = master
        self.clock = clock
        self.former = set(master.WORKERS)

    def serve(self, seconds, *, good=10, failed=0):
        """Look at the server for so long, while each worker finishes so many requests in a tenth of a second."""
        for _ in range(round(seconds * 10)):
            for worker in self.master.WORKERS.values():
                cells = worker.assignment.record.cells
                cells[Cell.REQUESTS + OK] += good
                cells[Cell.REQUESTS + BROKEN] += failed
            self.clock.now += 0.1
            self.master.step()

    def follow(self, settings, trial=None):
        """Have the settings file ask for something."""
        self.master.follow_file(generation(settings, self.master.number_for(settings)), trial)
        self.master.step()

    def threads(self):
        """Return how many threads each worker is told to have."""
        cells = (each.assignment.record.cells for each in self.master.WORKERS.values() if each.retiring_since is None)
        return [each[Cell.THREADS] for each in cells]

    def marked(self):
        """Return how many workers are on trial."""
        return sum(each.assignment.record.cells[Cell.ON_TRIAL] for each in self.master.WORKERS.values())

    def published(self):
        """Return workers and threads, of what is wanted and of what runs, and how many switches were done."""
        cells = self.master.slots.server
        done = cells[Server.SWITCHES + SWITCH_OUTCOMES.index("done")]
        return [tuple(cells[start + 1 : start + 3]) for start in (Server.DESIRED, Server.ACTIVE)], done


@pytest.fixture
def server(make_master, clock):
    made = OnAll(make_master(FORMER), clock)
    made.follow(FORMER)
    made.serve(3)
    return made


def test_all_workers_are_told_at_once_and_none_is_started(server):
    server.follow(FORMER, asked())
    server.serve(0.1)

    assert server.master.state() == "running"
    assert server.threads() == [32, 32]
    assert set(server.master.WORKERS) == server.former
    assert server.marked() == 2
    assert server.published() == ([(2, 32), (2, 32)], 0)


def test_harm_has_them_go_back_at_once_in_place(server):
    server.follow(FORMER, asked())
    server.serve(0.1)
    server.serve(0.1, good=12, failed=8)

    assert server.master.state() == "failed"
    assert server.threads() == [16, 16]
    assert set(server.master.WORKERS) == server.former
    assert server.marked() == 0
    assert server.published() == ([(2, 16), (2, 16)], 0)


def test_a_trial_that_nobody_confirms_goes_back_and_is_not_run_again(server):
    server.follow(FORMER, asked())
    server.serve(10.2)
    assert (server.master.state(), server.threads()) == ("expired", [16, 16])
    server.follow(FORMER, asked())
    server.serve(0.5)

    assert (server.master.ended(), server.threads()) == (1, [16, 16])


def test_settings_that_equal_what_is_on_trial_confirm_it_and_the_next_one_may_follow_in_the_same_file(server):
    server.follow(FORMER, asked())
    server.serve(1.5)
    server.follow(TRIED, asked(Settings("gthread", 2, 64), 2))
    assert server.master.ended() == 1
    assert server.published()[1] == 1
    server.serve(0.1)

    assert (server.master.state(), server.threads()) == ("running", [64, 64])
    server.serve(0.2, good=8, failed=4)  # compared with what was served during the first trial
    assert (server.master.state(), server.threads()) == ("failed", [32, 32])
    assert set(server.master.WORKERS) == server.former


def test_the_same_content_once_more_changes_nothing(server):
    server.follow(FORMER, asked())
    server.serve(0.2)
    server.follow(FORMER, asked())

    assert (server.master.state(), server.threads()) == ("running", [32, 32])


@pytest.mark.parametrize("settings", [FORMER, Settings("gthread", 2, 8), Settings("gthread", 1, 32)])
def test_other_settings_withdraw_it(server, settings):
    server.follow(FORMER, asked())
    server.serve(0.2)
    server.follow(settings)
    server.master.go_on()

    assert server.master.state() == "withdrawn"
    assert server.threads() == [settings.threads] * settings.workers


def test_a_reload_withdraws_it(server):
    server.follow(FORMER, asked())
    server.serve(0.2)
    server.master.switch_to(generation(FORMER, 2), anew=True)
    server.master.go_on()

    assert server.master.state() == "withdrawn"
    assert server.threads() == [16, 16]
    assert not server.former.intersection(server.master.WORKERS)


def test_additional_workers_retire_when_it_has_ended_and_the_former_ones_stay(server):
    server.follow(FORMER, asked(MORE))
    server.master.step()
    assert server.master.state() == "booting"
    server.master.go_on()
    assert (server.master.state(), server.threads(), server.marked()) == ("running", [32] * 3, 3)
    server.serve(0.2, good=8, failed=4)
    assert server.master.state() == "failed"
    (more,) = (each for each in server.master.WORKERS.values() if each.retiring_since is not None)
    assert more.assignment.record.cells[Cell.CLOSES_AT_ONCE]
    server.master.go_on()

    assert set(server.master.WORKERS) == server.former
    assert server.threads() == [16, 16]


def test_an_additional_worker_that_does_not_boot_ends_it(server):
    server.follow(FORMER, asked(MORE))
    server.master.step()
    (more,) = set(server.master.WORKERS) - server.former
    server.master.end(more)
    server.master.go_on()

    assert (server.master.state(), server.threads()) == ("boot_failure", [16, 16])
    assert set(server.master.WORKERS) == server.former


def test_a_worker_that_dies_ends_it_and_is_replaced(server):
    server.follow(FORMER, asked())
    server.serve(0.2)
    server.master.end(min(server.former))
    server.master.go_on()

    assert (server.master.state(), server.threads()) == ("died", [16, 16])


def test_a_worker_that_has_served_its_number_of_requests_is_replaced_by_one_that_runs_it_too(server):
    server.follow(FORMER, asked())
    server.serve(0.2)
    worker = server.master.WORKERS.pop(min(server.former))
    server.master.slots.release(worker.assignment.record)
    server.master.worker_ended(worker, Ending("max_requests", "it has served enough", None))
    server.master.go_on()

    assert (server.master.state(), server.threads(), server.marked()) == ("running", [32, 32], 2)


def test_without_memory_for_another_worker_it_is_not_started(server):
    server.master._memory.suffices = False
    server.follow(FORMER, asked(MORE))
    server.master.go_on()

    assert server.master.state() == "not_started"
    assert set(server.master.WORKERS) == server.former


def test_what_failed_under_something_else_is_nothing_to_compare_with(server):
    server.follow(FORMER, asked())
    server.serve(0.3, good=0, failed=10)
    assert server.master.state() == "failed"
    server.serve(3)
    server.follow(FORMER, asked(number=2))
    server.serve(0.2, good=0, failed=10)

    assert (server.master.state(), server.master.ended()) == ("failed", 2)
