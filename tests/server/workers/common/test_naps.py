from __future__ import annotations

import time

import pytest

from stablehand_server.shared_memory import Cell, Slots
from stablehand_server.workers.common.base import LAG_TICK_SECONDS, MeasuredWorker


class Loop:
    """As much of a worker as sleeps between two ticks."""

    naps = MeasuredWorker.naps
    linger_seconds = MeasuredWorker.linger_seconds

    def __init__(self, **cells):
        self._cells = Slots().allocate(index=0, age=1, worker_class=2, slots=8).cells
        for name, value in cells.items():
            self._cells[Cell[name]] = value
        self.told = False
        self.looks = 0

    def tell_to_retire(self):
        """Do what the master does."""
        self._cells[Cell.TOLD_TO_RETIRE] = 1.0

    def _resize_if_wanted(self):
        self.looks += 1

    def _retire_if_told(self):
        self.told = bool(self._cells[Cell.TOLD_TO_RETIRE])


def test_a_worker_sleeps_in_one_piece():
    assert list(Loop().naps()) == [LAG_TICK_SECONDS]


def test_on_trial_it_looks_often_what_is_wanted_and_sleeps_for_as_long_in_all():
    loop = Loop(ON_TRIAL=1.0)
    began, naps = time.monotonic(), 0
    for seconds in loop.naps():
        assert 0 < seconds <= LAG_TICK_SECONDS / 5
        naps += 1
        time.sleep(seconds)

    assert loop.looks == naps > 1
    assert time.monotonic() - began >= LAG_TICK_SECONDS


def test_on_trial_it_learns_at_its_next_nap_that_it_is_told_to_retire():
    loop = Loop(ON_TRIAL=1.0)
    naps = loop.naps()
    next(naps)
    loop.tell_to_retire()

    assert list(naps) == []
    assert loop.told


def test_what_was_on_trial_and_retires_sleeps_like_any_other():
    loop = Loop(ON_TRIAL=1.0, RETIRES=1.0)
    loop.tell_to_retire()

    assert list(loop.naps()) == [LAG_TICK_SECONDS]


@pytest.mark.parametrize(("at_once", "seconds"), [(0.0, 5.0), (1.0, 0.0)])
def test_a_worker_whose_guard_has_ended_its_trial_awaits_nothing_on_idle_connections(at_once, seconds):
    loop = Loop(CLOSES_AT_ONCE=at_once)
    loop.cfg = type("Config", (), {"graceful_timeout": 30})

    assert loop.linger_seconds() == seconds
