from __future__ import annotations

import pytest

from stablehand_bench.tuner import contestants, summary
from stablehand_bench.tuner.contestants import DOCUMENTED, GEVENT, STABLEHAND

FAST, OTHER = "static gthread 2 × 32", "static gevent 2 × 1000"


@pytest.fixture
def contest(cell, tuned):
    """Return a function that makes three rounds: the machine was half as fast in the last one, for everyone."""

    def make(stablehand=100.0, p99=0.1, documented=20.0, **different):
        cells = []
        for number, speed in ((1, 1.0), (2, 1.0), (3, 0.5)):
            cells += [
                cell(FAST, number, per_second=100.0 * speed, p99_seconds=0.1, settings="gthread 2 × 32"),
                cell(OTHER, number, per_second=99.0 * speed, p99_seconds=0.3, settings="gevent 2 × 1000"),
                cell(DOCUMENTED, number, per_second=documented * speed),
                cell(GEVENT, number, requests=0, per_second=0.0, note="serves no ASGI app"),
                cell(STABLEHAND, number, per_second=stablehand * speed, p99_seconds=p99, tuned=tuned(**different)),
            ]
        return cells

    return make


def test_the_oracle_is_the_best_of_what_was_measured_again(contest):
    (result,) = summary.summarise(contest())

    assert result.oracle_settings == "gthread 2 × 32"
    assert result.standings[summary.ORACLE].ratio.median == 1.0
    assert FAST not in result.standings


def test_static_settings_that_failed_a_request_are_no_oracle(contest, cell):
    cells = [each for each in contest() if (each.contestant, each.round) != (FAST, 2)]
    cells.append(cell(FAST, 2, per_second=100.0, failed=1))
    (result,) = summary.summarise(cells)

    assert result.oracle_settings == "gevent 2 × 1000"


def test_the_grid_does_not_count_as_the_contest(contest, cell):
    lucky = cell("static sync 9", phase="grid", per_second=1e6)

    assert summary.summarise([lucky, *contest()])[0].oracle_settings == "gthread 2 × 32"


def test_ratios_are_taken_within_a_round(contest):
    (result,) = summary.summarise(contest(stablehand=98.0))

    assert tuple(result.standings[STABLEHAND].ratio) == pytest.approx((0.98, 0.98, 0.98))
    assert summary.gain(result, DOCUMENTED) == pytest.approx(4.9)


def test_who_could_not_serve_has_a_reason_and_no_number(contest):
    (result,) = summary.summarise(contest())

    assert result.standings[GEVENT].per_second is None
    assert result.standings[GEVENT].note == "serves no ASGI app"
    assert summary.gain(result, GEVENT) is None


def test_who_holds_every_goal_falls_short_of_none(contest):
    (result,) = summary.summarise(contest(stablehand=95.0, p99=0.12))

    assert result.shortfalls == []


@pytest.mark.parametrize(
    ("different", "said"),
    [
        ({"stablehand": 94.0}, "0.94 of the oracle's throughput"),
        ({"p99": 0.13}, "1.30 times the oracle's p99"),
        ({"settled_seconds": 121.0}, "settled only after 121 s"),
        ({"failed": 1}, "failed 3 requests"),
        ({"documented": 110.0}, "0.91 of what the documented 2n+1 sync reaches"),
    ],
)
def test_each_goal_that_is_missed_is_said(contest, different, said):
    (result,) = summary.summarise(contest(**different))

    assert any(said in text for text in result.shortfalls)


def test_a_tuner_that_did_not_run_falls_short(contest, cell):
    cells = [each for each in contest() if each.contestant != STABLEHAND]
    cells.append(cell(STABLEHAND, requests=0, note="the server ended with status 3"))
    (result,) = summary.summarise(cells)

    assert result.shortfalls == ["was not measured: the server ended with status 3"]


def test_without_sound_static_settings_there_is_no_oracle_and_that_is_said(contest):
    cells = [each for each in contest() if not each.contestant.startswith(contestants.STATIC)]
    (result,) = summary.summarise(cells)

    assert result.oracle_settings == ""
    assert "has no oracle" in result.shortfalls[0]


def test_ratios_are_averaged_by_the_geometric_mean():
    assert summary.geometric_mean([4.0, 0.25, 8.0]) == pytest.approx(2.0)
