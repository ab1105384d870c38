from __future__ import annotations

import pytest

from stablehand_bench.changing import scripts
from stablehand_bench.changing.scripts import Script, Stretch

TWO = Script("two", "two kinds", (Stretch(2, "/a", 10, 10), Stretch(4, "/b", 5, 15)), repeat=2)


@pytest.mark.parametrize("script", scripts.ALL, ids=lambda each: each.name)
def test_each_script_takes_fifteen_minutes_and_has_two_kinds_that_each_take_a_third_of_it(script):
    paths = [script.at(second)[0] for second in range(900)]

    assert script.seconds == pytest.approx(900)
    assert len(set(paths)) == 2
    assert min(paths.count(path) for path in set(paths)) >= 300


def test_stretches_follow_each_other_and_are_repeated():
    assert TWO.seconds == 12
    assert [TWO.at(at)[0] for at in (0, 1.9, 2, 5.9, 6, 8, 11.9)] == ["/a", "/a", "/b", "/b", "/a", "/b", "/b"]


def test_the_number_of_clients_goes_evenly_from_one_to_the_other():
    assert [TWO.at(at)[1] for at in (0, 1, 2, 4, 5.999, 6, 10)] == [10, 10, 5, 10, 15, 10, 10]


def test_a_faster_script_has_the_same_clients():
    faster = TWO.faster(4)

    assert faster.seconds == 3
    assert [faster.at(at) for at in (0.4, 1.0, 1.6)] == [("/a", 10), ("/b", 10), ("/a", 10)]


@pytest.mark.parametrize(("seconds", "first"), [(0, 1), (1, 0), (1, 65)])
def test_a_stretch_without_time_or_with_clients_that_there_are_not_is_refused(seconds, first):
    with pytest.raises(ValueError, match="1 to 64 clients"):
        Stretch(seconds, "/", first, 1)
