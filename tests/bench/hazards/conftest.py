from __future__ import annotations

import pytest

from stablehand_bench.tuner.results import CONTEST, GRID, Cell, Tuned


@pytest.fixture
def tuned():
    """Return a function that makes what a tuner did, with what differs from the usual."""

    def make(**different):
        usual = {
            "watched_seconds": 120.0,
            "settled_seconds": 10.0,
            "timeline": [[1.0, "sync 1"], [10.0, "gthread 2 × 8"]],
            "decisions": [["keep", "gthread 2 × 8", "it stays", "TrialPassed"]],
            "changes": 1,
            "rolled_back": 0,
            "requests": 50_000,
            "failed": 0,
            "killed_for_memory": 0,
            "gevent_seconds": 0.0,
            "most_slots": 16.0,
        }
        return Tuned(**{**usual, **different})

    return make


@pytest.fixture
def cell():
    """Return a function that makes a cell of the contest; what isn't said is a sound one of the app `postgres`."""

    def make(contestant, **different):
        usual = {
            "phase": CONTEST,
            "workload": "postgres",
            "load": "64 connections",
            "contestant": contestant,
            "round": 1,
            "seconds": 8.0,
            "per_second": 100.0,
            "p99_seconds": 0.1,
            "requests": 800,
            "settings": contestant.removeprefix("static "),
        }
        return Cell(**{**usual, **different})

    return make


@pytest.fixture
def grid_cell(cell):
    """Return a function that makes a cell of the grid."""
    return lambda contestant, **different: cell(contestant, phase=GRID, **different)
