from __future__ import annotations

import pytest

from stablehand_bench.tuner.results import CONTEST, Cell, Tuned

NOTHING_HAPPENED = {
    "watched_seconds": 60.0,
    "settled_seconds": 10.0,
    "timeline": [[1.0, "sync 1"], [10.0, "gthread 2 × 32"]],
    "decisions": [["keep", "gthread 2 × 32", "it stays", "TrialPassed"]],
    "changes": 1,
    "rolled_back": 0,
    "requests": 1000,
    "failed": 0,
    "killed_for_memory": 0,
    "gevent_seconds": 0.0,
    "most_slots": 64.0,
}


@pytest.fixture
def tuned():
    """Return a function that makes what a tuner did, with what differs from the usual."""

    def make(**different):
        return Tuned(**{**NOTHING_HAPPENED, **different})

    return make


@pytest.fixture
def cell():
    """Return a function that makes a cell; what isn't said is a sound one of the contest."""

    def make(contestant, number=1, **different):
        usual = {
            "phase": CONTEST,
            "workload": "mixed",
            "load": "64 connections",
            "contestant": contestant,
            "round": number,
            "seconds": 6.0,
            "per_second": 100.0,
            "p99_seconds": 0.1,
            "requests": 600,
        }
        return Cell(**{**usual, **different})

    return make
