from __future__ import annotations

import contextlib

import pytest

from stablehand_bench.hazards import plan
from stablehand_bench.hazards.run import Run
from stablehand_bench.tuner import contestants
from stablehand_bench.tuner.results import CONTEST, GRID, Cell, Results


class Imagined:
    """Measures nothing: up to 20 slots serve 10 requests a second each, more fail."""

    def __init__(self, end_after=None, failing_later=()):
        self.measured = []
        self.started = []
        self._end_after = end_after
        self._failing_later = failing_later

    @contextlib.contextmanager
    def services(self, hazard):
        """Note for whom they are."""
        self.started.append(hazard.name)
        yield {"A": "variable"}

    def static(self, _hazard, key, settings, variables, durations):
        """Note what is asked for."""
        assert variables == {"A": "variable"}
        if len(self.measured) == self._end_after:
            raise KeyboardInterrupt
        self.measured.append(key)
        rate = 10.0 * settings.slots
        failed = settings.slots > 20 or (key.phase == CONTEST and str(settings) in self._failing_later)
        return Cell(*key, seconds=durations.measured, requests=1, per_second=rate, failed=failed)

    def tuned(self, _hazard, key, _variables, _tuning, seconds):
        """Note what is asked for."""
        self.measured.append(key)
        return Cell(*key, seconds=seconds, requests=1)


@pytest.fixture
def run(tmp_path):
    """Return a function that runs the plan, with results of the same file each time."""
    path = tmp_path / "results.jsonl"
    Results.begin(path, {})

    def go(measuring, names=("postgres", "lock"), forget=None):
        results = Results.read(path)
        if forget is not None:
            results.forget(forget)
        Run(plan.make(names), measuring, results, lambda _key: None).all()
        return Results.read(path).cells

    return go


def test_each_app_has_its_grid_then_its_best_beside_the_tuner(run):
    measuring = Imagined()
    cells = [each for each in run(measuring) if each.workload == "postgres"]
    contest = [each.contestant for each in cells if each.phase == CONTEST]

    assert measuring.started == ["postgres", "lock"]
    assert [each.phase for each in cells] == [GRID] * (len(cells) - 3) + [CONTEST] * 3
    assert contest[-1] == contestants.STABLEHAND
    assert all(name in {each.contestant for each in cells if each.phase == GRID} for name in contest[:2])


def test_settings_that_fail_in_a_longer_look_are_replaced_by_the_next_best(run):
    first, second, _ = (each.contestant for each in run(Imagined(), names=["lock"]) if each.phase == CONTEST)
    again = Imagined(failing_later=[first.removeprefix("static ")])
    cells = run(again, names=["lock"], forget=lambda each: each.phase == CONTEST)
    contest = [each for each in cells if each.phase == CONTEST]

    assert [each.is_sound for each in contest] == [False, True, True, True]
    assert [each.contestant for each in contest[:2]] == [first, second]


def test_an_interrupted_run_goes_on_where_it_was(run):
    first, second, third = Imagined(end_after=7), Imagined(), Imagined()
    with pytest.raises(KeyboardInterrupt):
        run(first)
    run(second)
    run(third)

    assert len(first.measured) == 7
    assert not set(first.measured) & set(second.measured)
    assert third.measured == []


def test_the_tuner_can_be_measured_again_beside_the_grid_that_is_known(run):
    before = run(Imagined())
    measuring = Imagined()
    after = run(measuring, names=["lock"], forget=lambda each: (each.workload, each.phase) == ("lock", CONTEST))

    assert {(each.workload, each.phase) for each in measuring.measured} == {("lock", CONTEST)}
    assert sorted(each.key for each in after) == sorted(each.key for each in before)
