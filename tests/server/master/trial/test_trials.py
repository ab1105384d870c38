from __future__ import annotations

import logging
import math
from types import SimpleNamespace

import pytest

from stablehand_server.config.flags import ServerConfig
from stablehand_server.master import generation as generations
from stablehand_server.master.supervisor import Ending
from stablehand_server.master.trial import trials
from stablehand_server.master.trial.on_all import Asked
from stablehand_server.shared_memory import Cell, State
from stablehand_tuner.contracts.settings import Settings
from stablehand_tuner.contracts.trial import Guard, Trial

LOG = logging.getLogger(__name__)
SYNC, GTHREAD = Settings("sync", 3), Settings("gthread", 3, 8)
ENDED = Ending("error", "it exited with code 1", None)


def generation(settings, number):
    return generations.from_settings(ServerConfig(), settings, number, "a file", LOG)


def asked(number=1, settings=GTHREAD):
    """Return a trial of the settings' class on one worker."""
    trial = Trial(number, settings.worker_class, settings.threads, 1000, 10.0, Guard(0.02, 0.5, 2.0))
    return Asked(trial, generation(settings, number=1))


@pytest.fixture
def server(make_master):
    made = make_master(SYNC)
    assert made.generations() == {0: 1, 1: 1, 2: 1}
    return made


def test_the_worker_on_trial_takes_the_place_of_the_oldest_once_it_is_ready(server):
    server.follow_trial(asked())
    server.step()
    assert (server.state(), len(server.WORKERS)) == ("booting", 4)
    assert 1 in server.WORKERS
    server.boot()
    server.step()

    assert server.state() == "running"
    assert server.WORKERS[1].retiring_since is not None
    server.go_on()
    assert server.generations() == {0: 1, 1: 1, 2: 2}


def test_a_worker_on_trial_begins_with_few_slots_and_has_twice_as_many_each_second(server, monkeypatch):
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(trials, "time", SimpleNamespace(monotonic=lambda: clock.now))
    server.follow_trial(asked())
    server.go_on()
    cells = server.on_trial().assignment.record.cells
    slots = []
    for _ in range(9):
        slots.append((cells[Cell.THREADS], cells[Cell.WORKER_CONNECTIONS]))
        clock.now += 1.0
        server.step()

    assert slots == [(4, 12), (8, 24), (8, 48), (8, 96), (8, 192), (8, 384), (8, 768), (8, 1000), (8, 1000)]


def test_a_class_that_cannot_grow_has_all_its_slots_at_once(server):
    server.follow_trial(asked(1, Settings("tornado", 3)))
    server.go_on()

    assert server.on_trial().assignment.record.cells[Cell.WORKER_CONNECTIONS] == 1000


@pytest.mark.parametrize(("outcome", "at_once"), [("failed", 1), ("unserved", 1), ("late", 0)])
def test_a_trial_that_harms_retires_before_its_successor_is_ready(server, outcome, at_once):
    server.follow_trial(asked())
    server.go_on()
    worker = server.on_trial()
    cells = worker.assignment.record.cells
    server._finish(server._run, outcome, "it harms")

    assert (cells[Cell.TOLD_TO_RETIRE], cells[Cell.CLOSES_AT_ONCE]) == (1, at_once)
    assert math.isinf(cells[Cell.RETIRE_BY]) == (outcome != "unserved")
    server.step()
    assert sum(each.ready is False for each in server.WORKERS.values()) == 1
    server.go_on()
    assert server.generations() == {0: 1, 1: 1, 2: 1}


def test_a_trial_that_is_withdrawn_serves_until_its_successor_is_ready(server):
    server.follow_trial(asked())
    server.go_on()
    worker = server.on_trial()
    server.follow_trial(None)
    server.step()
    assert (server.state(), worker.retiring_since, len(server.WORKERS)) == ("withdrawn", None, 4)
    server.boot()
    server.step()

    assert worker.retiring_since is not None
    server.go_on()
    assert server.generations() == {0: 1, 1: 1, 2: 1}


def test_where_memory_is_short_the_oldest_goes_before_the_worker_on_trial_boots(server):
    server._memory.suffices = False
    server.follow_trial(asked())
    server.step()
    assert [each.pid for each in server.WORKERS.values() if each.retiring_since is not None] == [1]
    assert len(server.WORKERS) == 3
    server.end(1)
    server.step()

    assert len(server.WORKERS) == 3
    server.go_on()
    assert (server.state(), server.generations()) == ("running", {0: 1, 1: 1, 2: 2})


def test_where_memory_is_short_nothing_is_tried_beside_a_single_worker(make_master):
    server = make_master(Settings("sync", 1))
    server._memory.suffices = False
    server.follow_trial(asked())
    server.go_on()

    assert (server.state(), server.generations()) == ("not_started", {0: 1})


def test_an_id_is_run_once_and_ids_grow(server):
    server.follow_trial(asked(5))
    server.go_on()
    server.follow_trial(asked(5))
    assert (server.state(), server.ended()) == ("running", 0)
    server.follow_trial(None)
    for number in (5, 4):
        server.follow_trial(asked(number))
        server.go_on()
        assert (server.state(), server.ended()) == ("withdrawn", 1)
    server.follow_trial(asked(6))
    server.go_on()

    assert server.state() == "running"
    assert server.on_trial().assignment.generation == 3


def test_a_trial_waits_until_what_all_run_is_complete_and_is_given_up_if_that_fails(server):
    server.switch_to(generation(GTHREAD, 2))
    server.follow_trial(asked(1, Settings("gevent", 3)))
    server.step()
    assert (server.state(), server.trial_runs) == ("booting", False)
    booting = next(pid for pid, each in server.WORKERS.items() if not each.ready)
    server.end(booting)
    server.go_on()

    assert (server.state(), server.generations()) == ("not_started", {0: 1, 1: 1, 2: 1})


@pytest.mark.parametrize("ready", [False, True])
def test_a_worker_on_trial_that_ends_is_followed_by_an_ordinary_one(server, ready):
    server.follow_trial(asked())
    server.step()
    if ready:
        server.go_on()
    server.end(server.on_trial().pid)

    assert server.state() == ("died" if ready else "boot_failure")
    server.go_on()
    assert server.generations() == {0: 1, 1: 1, 2: 1}
    assert server.ended() == 1


def test_a_confirmed_trial_is_the_first_worker_of_what_all_run(server):
    server.follow_trial(asked())
    server.go_on()
    worker = server.on_trial()
    server.switch_to(generation(GTHREAD, server.number_for(GTHREAD)))
    server.follow_trial(None)
    assert server.state() == "confirmed"
    server.go_on()

    assert server.generations() == {0: 2, 1: 2, 2: 2}
    assert worker in server.WORKERS.values()


def test_other_settings_than_those_on_trial_confirm_nothing(server):
    server.follow_trial(asked())
    server.go_on()
    fewer = Settings("gthread", 3, 4)
    server.switch_to(generation(fewer, server.number_for(fewer)))

    assert server.state() == "withdrawn"
    server.go_on()
    assert server.generations() == {0: 3, 1: 3, 2: 3}


def test_a_worker_that_has_served_its_number_of_requests_ends_its_trial_without_a_verdict(server):
    server.follow_trial(asked())
    server.go_on()
    worker = server.on_trial()
    cells = worker.assignment.record.cells
    cells[Cell.REACHED_MAX_REQUESTS] = cells[Cell.RETIRES] = 1.0
    server.go_on()

    assert (server.state(), server.generations()) == ("expired", {0: 1, 1: 1, 2: 1})


def test_the_trial_of_a_file_that_is_there_at_the_start_is_not_run_and_neither_is_it_later(server):
    server.skip_trial(asked(5))
    server.follow_trial(asked(5))
    server.go_on()

    assert (server.state(), server.ended(), server.generations()) == ("not_started", 1, {0: 1, 1: 1, 2: 1})
    assert all(each.assignment.record.cells[Cell.STATE] == State.READY for each in server.WORKERS.values())
