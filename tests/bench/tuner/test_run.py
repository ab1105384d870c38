from __future__ import annotations

import pytest

from stablehand_bench.tuner import contestants, plan
from stablehand_bench.tuner.placement import Placement
from stablehand_bench.tuner.results import CONTEST, GRID, Cell, Results
from stablehand_bench.tuner.run import Run

RATES = {"static gthread 2 × 64": 300.0, "static gevent 2 × 1000": 290.0}


class Imagined:
    """A place where nothing is started: the rates are known."""

    placement = Placement((0, 1), (0, 1))

    def __init__(self, end_after=None):
        self.measured = []
        self._end_after = end_after

    def cell(self, key, _workload, _load, command, _durations):
        """Note what is asked for."""
        if len(self.measured) == self._end_after:
            raise KeyboardInterrupt
        self.measured.append(key)
        assert command(8000, 9464)
        return Cell(*key, requests=1, per_second=RATES.get(key.contestant, 10.0), p99_seconds=0.1)


@pytest.fixture
def run(tmp_path):
    """Return a function that runs a quick plan in a place, with results of the same file each time."""
    path = tmp_path / "results.jsonl"
    Results.begin(path, {})

    def go(place, **different):
        chosen = plan.make(quick=True, names=["long-waits"], **different)
        Run(chosen, place, Results.read(path), lambda _key, _done: None).all()
        return Results.read(path).cells

    return go


def test_the_best_of_the_grid_is_measured_again_beside_everyone(run):
    cells = run(Imagined(), rounds=2)
    contest = [cell for cell in cells if cell.phase == CONTEST]

    assert {cell.contestant for cell in contest} == {
        contestants.STABLEHAND,
        "static gthread 2 × 64",
        *contestants.PEERS,
    }
    assert all(sum(each.contestant == cell.contestant for each in contest) == 2 for cell in contest)
    assert sum(cell.phase == GRID for cell in cells) == 5


def test_an_interrupted_run_goes_on_where_it_was(run):
    first = Imagined(end_after=7)
    with pytest.raises(KeyboardInterrupt):
        run(first)
    second = Imagined()
    cells = run(second)

    assert len(first.measured) == 7
    assert not set(first.measured) & set(second.measured)
    assert [cell.key for cell in cells] == first.measured + second.measured
    third = Imagined()
    run(third)
    assert third.measured == []


def test_each_round_begins_with_another_contestant(run):
    place = Imagined()
    run(place, rounds=3)
    beginners = [
        next(key.contestant for key in place.measured if (key.phase, key.round) == (CONTEST, number))
        for number in (1, 2, 3)
    ]

    assert len(set(beginners)) == 3


def test_the_documented_default_is_there_in_every_round_and_other_servers_in_as_many_as_are_wished(run):
    place = Imagined()
    run(place, rounds=3, peer_rounds=1)
    seen = [key.contestant for key in place.measured if key.phase == CONTEST]

    assert seen.count(contestants.DOCUMENTED) == seen.count(contestants.STABLEHAND) == 3
    assert {seen.count(name) for name in contestants.PEERS if name != contestants.DOCUMENTED} == {1}
