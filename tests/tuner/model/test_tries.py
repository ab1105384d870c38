"""What was tried for nothing waits longer each time, for the same kind of requests."""

from __future__ import annotations

import json

import pytest

from stablehand_tuner.model.tries import LONGEST_SECONDS, MOST_TRIES, Tries


def test_each_try_for_nothing_doubles_the_wait_up_to_a_day():
    tries, waits = Tries(), []
    for _ in range(14):
        tries = tries.after("gevent", cost=0.001, now=100.0)
        waits.append(tries.made[-1].until - 100.0)

    assert waits[:3] == [60.0, 120.0, 240.0]
    assert waits[-1] == LONGEST_SECONDS


def test_only_what_was_tried_waits_and_only_until_its_time_is_over():
    tries = Tries().after("gevent", cost=0.001, now=100.0)

    assert tries.waiting("gevent", cost=0.001, now=159.0).times == 1
    assert tries.waiting("gevent", cost=0.001, now=160.0) is None
    assert tries.waiting("gthread", cost=0.001, now=101.0) is None
    assert tries.waiting("gevent", cost=0.002, now=101.0) is None, "the app does something else by now"
    assert tries.without("gevent") == Tries()


def test_they_are_stored_and_few_enough_to_be():
    tries = Tries()
    for number in range(20):
        tries = tries.after(f"class {number}", cost=None, now=float(number))

    assert len(tries.made) == MOST_TRIES
    assert Tries.from_list(json.loads(json.dumps(tries.to_list()))) == tries


def test_no_wait_is_longer_than_any_can_be_after_the_clock_was_set_back():
    tries = Tries().after("gevent", cost=None, now=1e9)

    assert tries.not_after(0.0).made[0].until == LONGEST_SECONDS


@pytest.mark.parametrize(
    "stored", [[["gevent", 0, 1.0, None]], [["gevent", 1, "soon", None]], [["gevent", 1, 1.0, "x"]]]
)
def test_what_no_tuner_has_written_is_refused(stored):
    with pytest.raises(ValueError, match="no try"):
        Tries.from_list(stored)
