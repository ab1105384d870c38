from __future__ import annotations

from collections import Counter

import pytest

from stablehand_bench.changing import scripts
from stablehand_bench.changing.scripts import Script, Stretch

TWO = Script("two", "two kinds", (Stretch(2, "/a", 10, 10), Stretch(4, "/b", 5, 15)), repeat=2)


@pytest.mark.parametrize("script", scripts.ALL, ids=lambda each: each.name)
def test_each_script_takes_fifteen_minutes_and_asks_for_its_two_kinds_about_as_often(script):
    moments = list(script.arrivals(script.seconds))
    kinds = Counter(map(script.path, moments))

    assert script.seconds == pytest.approx(900)
    assert moments == sorted(moments)
    assert len(kinds) == 2
    assert min(kinds.values()) > 0.35 * len(moments)
    assert max(each.first + each.last for each in script.parts) <= 1000, "more than one client can send"


def test_stretches_follow_each_other_and_are_repeated():
    assert TWO.seconds == 12
    assert [TWO.path(at) for at in (0, 1.9, 2, 5.9, 6, 8, 11.9)] == ["/a", "/a", "/b", "/b", "/a", "/b", "/b"]
    assert len(list(TWO.arrivals(TWO.seconds))) == 2 * (20 + 40)
    assert len(list(TWO.arrivals(1.0))) == 10


@pytest.mark.parametrize(("first", "last"), [(5, 15), (15, 5)])
def test_a_rate_goes_evenly_from_one_to_the_other(first, last):
    moments = list(Stretch(4, "/", first, last).moments())
    halves = [sum(moment < 2 for moment in moments), sum(moment >= 2 for moment in moments)]

    assert halves == pytest.approx([2 * (first + 10) / 2, 2 * (10 + last) / 2], abs=1)


def test_a_faster_script_has_the_same_rates():
    faster = TWO.faster(4)

    assert faster.seconds == 3
    assert len(list(faster.arrivals(3))) == pytest.approx(30, abs=4)
    assert [faster.path(at) for at in (0.4, 0.6, 1.6)] == ["/a", "/b", "/a"]


@pytest.mark.parametrize(("seconds", "first"), [(0, 1), (1, 0)])
def test_a_stretch_without_time_or_requests_is_refused(seconds, first):
    with pytest.raises(ValueError, match="positive"):
        Stretch(seconds, "/", first, 1)
