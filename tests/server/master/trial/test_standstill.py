from __future__ import annotations

import random

import pytest

from stablehand_server.master.trial.standstill import Moment, Standstill

LOOKS = 10  # in a second


def watch(seconds, trial, *siblings, test=3.0):
    """Look at what functions of the time say of the trial and of each sibling; return when it stands still, or None."""
    standstill = Standstill(test)
    for look in range(int(seconds * LOOKS)):
        now = look / LOOKS
        if standstill.look(trial(now), {age: each(now) for age, each in enumerate(siblings)}, now):
            return now
    return None


def serving(per_second, *, seconds):
    """Return a worker that serves requests of so many seconds."""
    short = seconds <= 3.0
    return lambda now: Moment(now * per_second, per_second * seconds, short * now * per_second * seconds)


def stuck(requests):
    """Return a worker of which no request ever finishes."""
    return lambda _: Moment(0.0, requests)


def both(*workers):
    """Return a worker that does what both do."""
    return lambda now: Moment(*map(sum, zip(*(each(now) for each in workers), strict=True)))


def test_requests_that_never_finish_while_the_siblings_do_are_a_standstill():
    assert watch(10, stuck(8.0), serving(100, seconds=0.1)) == pytest.approx(3.0)


def test_a_worker_that_finishes_some_does_not_stand_still():
    assert watch(30, serving(0.5, seconds=0.1), serving(100, seconds=0.1)) is None


def test_a_worker_without_requests_does_not_stand_still():
    assert watch(30, stuck(0.0), serving(100, seconds=0.1)) is None


def test_the_fewer_are_stuck_the_more_must_have_been_seen_to_finish():
    assert watch(60, stuck(2.0), serving(100, seconds=0.1)) == pytest.approx(18.0, abs=1)
    assert watch(60, stuck(1.0), serving(100, seconds=0.1)) is None


def test_where_the_siblings_do_not_serve_either_nobody_can_tell():
    assert watch(30, stuck(8.0), stuck(8.0)) is None
    assert watch(30, stuck(8.0)) is None


def test_long_polls_are_no_standstill_if_those_of_the_siblings_take_as_long():
    assert watch(30, stuck(20.0), serving(10, seconds=30.0)) is None


def test_long_polls_of_which_none_has_finished_anywhere_are_no_standstill():
    mixed = both(stuck(100.0), serving(10, seconds=0.02))

    assert watch(30, stuck(5.0), mixed, mixed) is None


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("slots", [1, 4])
def test_a_worker_like_its_siblings_never_stands_still(slots, seed):
    chance = random.Random(seed)  # noqa: S311 (no secret)

    assert watch(30, *(lived(chance, slots) for _ in range(4))) is None


def lived(chance, slots):
    """Return a worker whose slots are all in use for half a minute, half of that time for long requests."""
    ends = sorted(each for _ in range(slots) for each in _life(chance))

    def at(now):
        finished = [seconds for end, seconds in ends if end <= now]
        return Moment(len(finished), slots, sum(seconds for seconds in finished if seconds <= 3.0))

    return at


def _life(chance):
    now = 0.0
    while now < 30:
        seconds = chance.expovariate(1 / 0.3) if chance.random() < 0.95 else chance.uniform(4, 8)
        now += seconds
        yield now, seconds
