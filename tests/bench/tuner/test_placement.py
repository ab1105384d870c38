from __future__ import annotations

from stablehand_bench.tuner.placement import pinned, place


def test_with_three_cores_the_load_has_one_of_its_own():
    placement = place((0, 1, 2, 5))

    assert (placement.server, placement.load, placement.is_shared) == ((0, 1, 2), (5,), False)


def test_with_two_cores_both_are_shared_and_said_to_be():
    placement = place((0, 1))

    assert placement.server == placement.load == (0, 1)
    assert "share" in placement.describe()


def test_a_command_is_pinned():
    assert pinned((0, 2), ["wrk", "url"]) == ["taskset", "--cpu-list", "0,2", "wrk", "url"]
