from __future__ import annotations

import math
import signal
import time
from types import SimpleNamespace

import pytest

from stablehand_server.master import lifecycle
from stablehand_server.master.lifecycle import TimeLimits
from stablehand_server.shared_memory import Cell, Overdue, Slots, State

LIMITS = TimeLimits(boot=10, timeout=5)
NOW = 1000.0
OF_OTHERS = -1
NEVER = 2e9  # the file's time before the first beat is the wall clock's


def worker(**known):
    """Return a worker that beats now, and has been ready for long."""
    record = Slots().allocate(index=3, age=7, worker_class=known.pop("worker_class", 0), slots=1)
    record.cells[Cell.RETIRE_BY] = known.pop("retire_by", math.inf if "retiring_since" in known else 0.0)
    record.cells[Cell.RETIRES] = known.pop("heard", 0.0)
    beat = known.pop("beat", NOW)
    facts = {
        "age": 7,
        "ready": True,
        "spawned_at": 0.0,
        "retiring_since": None,
        "signalled": False,
        "signalled_early": False,
        "superseded": False,
        "aborted": False,
        "overstays": False,
        "aborted_at": 0.0,
        "tmp": SimpleNamespace(last_update=lambda: beat),
        "assignment": SimpleNamespace(index=3, generation=2, record=record),
    }
    return SimpleNamespace(**facts | known)


@pytest.mark.parametrize(
    ("who", "due"),
    [
        (worker(), None),
        (worker(beat=NOW - 4), None),
        (worker(beat=NOW - 6), signal.SIGABRT),
        (worker(beat=NOW - 6, aborted=True, aborted_at=NOW - 0.5), None),
        (worker(beat=NOW - 6, aborted=True, aborted_at=NOW - 1.5), signal.SIGKILL),
        (worker(ready=False, spawned_at=NOW - 9), None),
        (worker(ready=False, spawned_at=NOW - 11), signal.SIGABRT),
        (worker(retiring_since=NOW - 0.5), None),
        (worker(retiring_since=NOW - 9e9), None),
        (worker(retiring_since=NOW - 33, retire_by=NOW - 1.5), None),
        (worker(retiring_since=NOW - 33, retire_by=NOW - 2.5), signal.SIGABRT),
        (worker(retiring_since=NOW - 33, retire_by=NOW - 2.5, overstays=True, aborted_at=NOW - 0.5), None),
        (worker(retiring_since=NOW - 33, retire_by=NOW - 4, overstays=True, aborted_at=NOW - 1.5), signal.SIGKILL),
        (
            worker(ready=False, spawned_at=NOW - 5, retiring_since=NOW - 2.5),
            None,  # it beats
        ),
        (
            worker(ready=False, spawned_at=NOW - 5, beat=NEVER, retiring_since=NOW - 1.5),
            None,
        ),
        (
            worker(ready=False, spawned_at=NOW - 5, beat=NEVER, retiring_since=NOW - 2.5),
            signal.SIGKILL,
        ),
    ],
)
def test_a_worker_that_takes_too_long_gets_the_signal_that_is_due(who, due):
    assert lifecycle.signal_due(who, LIMITS, NOW) is due


@pytest.mark.parametrize("worker_class", [0, OF_OTHERS])
def test_a_worker_that_was_signalled_while_it_served_or_retires_already_is_never_signalled_again(worker_class):
    told = worker(retiring_since=NOW - 60, worker_class=worker_class)
    lifecycle.note_signal(told)
    retires = worker(retiring_since=NOW - 60, worker_class=worker_class, heard=1.0)

    for each in (told, retires):
        assert lifecycle.knows_its_end(each)
        assert lifecycle.signal_due(each, LIMITS, NOW) is None
    assert not lifecycle.knows_its_end(worker())


@pytest.mark.parametrize(("worker_class", "due"), [(OF_OTHERS, signal.SIGTERM), (0, None)])
def test_a_class_of_others_that_was_signalled_before_it_had_handlers_is_signalled_again_when_it_serves(
    worker_class, due
):
    early = worker(ready=False, spawned_at=NOW - 5, retiring_since=NOW - 1.5, beat=NEVER, worker_class=worker_class)
    lifecycle.note_signal(early)
    assert lifecycle.signal_due(early, LIMITS, NOW) is None
    early.tmp = SimpleNamespace(last_update=lambda: 0.0)

    assert lifecycle.signal_due(early, LIMITS._replace(timeout=0), NOW) is due
    lifecycle.note_signal(early)
    assert lifecycle.signal_due(early, LIMITS._replace(timeout=0), NOW) is None


def test_the_end_of_the_server_bounds_a_retirement_that_had_no_bound_and_never_lengthens_one():
    going = worker()
    until = going.assignment.record.cells

    lifecycle.note_retirement(going, math.inf)
    assert until[Cell.RETIRE_BY] == math.inf
    lifecycle.note_retirement(going, NOW + 30)
    assert until[Cell.RETIRE_BY] == NOW + 30
    lifecycle.note_retirement(going, NOW + 60)
    assert until[Cell.RETIRE_BY] == NOW + 30


def test_a_worker_that_accepts_no_more_by_itself_is_found_once_it_serves():
    assert lifecycle.retires_untold(worker(heard=1.0))
    assert not lifecycle.retires_untold(worker())
    assert not lifecycle.retires_untold(worker(heard=1.0, ready=False))
    assert not lifecycle.retires_untold(worker(heard=1.0, retiring_since=NOW))


def test_zero_seconds_mean_no_limit():
    limits = TimeLimits(boot=0, timeout=0)

    assert lifecycle.signal_due(worker(beat=0.0), limits, NOW) is None
    assert lifecycle.signal_due(worker(ready=False), limits, NOW) is None


def test_a_worker_is_ready_at_its_first_heartbeat_which_is_reported_once():
    booting = worker(ready=False, beat=time.time() + 1e6)
    assert not lifecycle.note_first_heartbeat(booting)
    assert lifecycle.state(booting) is State.BOOTING
    booting.tmp = SimpleNamespace(last_update=lambda: 0.0)

    assert lifecycle.note_first_heartbeat(booting)
    assert not lifecycle.note_first_heartbeat(booting)
    assert lifecycle.state(booting) is State.READY
    assert booting.assignment.record.cells[Cell.STATE] == State.READY


def test_a_worker_that_is_told_to_retire_while_it_boots_is_never_shown_as_ready():
    going = worker(ready=False, beat=0.0)
    lifecycle.note_retirement(going, math.inf)
    lifecycle.note_first_heartbeat(going)

    assert lifecycle.state(going) is State.RETIRING
    assert going.assignment.record.cells[Cell.STATE] == State.RETIRING


def test_a_worker_whose_boot_was_aborted_is_never_ready():
    clinging = worker(ready=False, aborted=True, beat=0.0)

    assert not lifecycle.note_first_heartbeat(clinging)
    assert lifecycle.state(clinging) is State.BOOTING
    assert clinging.assignment.record.cells[Cell.STATE] == State.BOOTING


def test_a_retiring_worker_is_told_so_where_its_app_cannot_hide_it():
    going = worker()
    lifecycle.note_retirement(going, math.inf)

    assert going.assignment.record.cells[Cell.TOLD_TO_RETIRE] == 1.0


def test_a_worker_with_an_overdue_request_is_ended_once_it_retires_and_has_no_other():
    stuck = worker()
    limits = LIMITS._replace(timeout=0)
    stuck.assignment.record.cells[Cell.OVERDUE] = Overdue.SOME
    assert lifecycle.signal_due(stuck, limits, NOW) is None
    stuck.retiring_since = NOW - 0.5
    assert lifecycle.signal_due(stuck, limits, NOW) is None

    stuck.assignment.record.cells[Cell.OVERDUE] = Overdue.ONLY
    assert lifecycle.signal_due(stuck, limits, NOW) is signal.SIGABRT


@pytest.mark.parametrize("cell", [Cell.REACHED_MAX_REQUESTS, Cell.OVERDUE])
def test_the_plan_is_told_who_is_to_be_replaced(cell):
    spent = worker()
    spent.assignment.record.cells[cell] = 1.0
    (one, other) = lifecycle.living({11: spent, 12: worker()})

    assert (one.pid, one.index, one.generation, one.state, one.age, one.spent) == (11, 3, 2, State.READY, 7, True)
    assert not other.spent


@pytest.mark.parametrize(("beat", "ready", "serves"), [(NOW, False, True), (NEVER, False, False), (NEVER, True, True)])
def test_a_worker_may_be_answering_from_its_first_heartbeat_on_before_the_master_has_noted_it(beat, ready, serves):
    assert lifecycle.serves(worker(beat=beat, ready=ready), NOW) is serves
