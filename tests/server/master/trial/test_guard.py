from __future__ import annotations

import random

import pytest

from stablehand_server.master.trial.answers import NONE, Answers
from stablehand_server.master.trial.guard import Deeds, TrialGuard
from stablehand_tuner.contracts.metric_names import STATUS_CODES
from stablehand_tuner.contracts.settings import WorkerClass
from stablehand_tuner.contracts.trial import Guard, Trial

TRIAL = Trial(7, WorkerClass.GEVENT, 1, 100, 10.0, Guard(0.02, 0.5, 2.0))
LOOK_SECONDS = 0.025


def answered(counts):
    """Return answers by class of status."""
    return Answers((*(float(counts.get(code, 0)) for code in STATUS_CODES), *NONE.counts[len(STATUS_CODES) :]))


class Worker:
    """A simulated worker: requests begin at a rate, take a while, and some fail, after another while."""

    def __init__(
        self, per_second, *, seconds=0.02, failing=0.0, failing_seconds=0.001, late=0.0, inside=0, chance=None
    ):
        self._rate, self._seconds, self._failing, self._late = per_second, seconds, failing, late
        self._failing_seconds = failing_seconds
        self._random = chance or random.Random(per_second)  # noqa: S311 (no secret)
        self._running = [(self._random.uniform(0, seconds), False) for _ in range(inside)]
        self._now = 0.0
        self._next = 0.0
        self._finished = self._failed = 0

    def at(self, now):
        """Return what it has done by then."""
        while self._next < now:
            fails = self._random.random() < self._failing
            self._running.append((self._next + (self._failing_seconds if fails else self._seconds), fails))
            self._next += self._random.expovariate(self._rate)
        over = [each for each in self._running if each[0] <= now]
        self._running = [each for each in self._running if each[0] > now]
        self._finished += len(over)
        self._failed += sum(fails for _, fails in over)
        short = self._finished * self._seconds if self._seconds <= TRIAL.guard.unserved_seconds else 0.0
        return Deeds(self._finished, self._failed, len(self._running), short, self._late)


def watch(trial, siblings, seconds=11.0, earlier=NONE):
    """Return the verdict on a simulated trial, and when it came."""
    guard, look = TrialGuard(TRIAL, earlier, 0.0), 0
    while look * LOOK_SECONDS < seconds:
        look += 1
        now = look * LOOK_SECONDS
        verdict = guard.look(trial.at(now), {age: each.at(now) for age, each in enumerate(siblings)}, now)
        if verdict is not None:
            return verdict, now
    pytest.fail("it does not even expire")


def test_a_harmless_trial_that_nobody_confirms_ends_after_its_time():
    verdict, now = watch(Worker(100), [Worker(110), Worker(90)])

    assert verdict == ("expired", "nobody confirmed it within 10 s")
    assert now == pytest.approx(10.0)


def test_a_class_that_fails_everything_ends_in_a_tenth_of_a_second_at_two_hundred_and_fifty_requests_a_second():
    trial = Worker(250, failing=1.0)
    verdict, now = watch(trial, [Worker(250), Worker(251), Worker(249)])

    assert verdict.outcome == "failed"
    assert verdict.why.startswith("it failed ")
    assert now <= 0.1
    assert trial.at(now).failed < 25


def test_failures_that_come_sooner_than_good_answers_are_no_harm_if_they_are_as_rare():
    slow = {"seconds": 3.0, "failing": 0.05}
    siblings = [Worker(100 + place, **slow, inside=300) for place in range(3)]

    assert watch(Worker(99, **slow), siblings)[0].outcome == "expired"


def test_requests_that_fail_only_after_a_while_are_found_all_the_same():
    trial = Worker(50, failing=1.0, failing_seconds=1.0)
    verdict, now = watch(trial, [Worker(51), Worker(52), Worker(53)])

    assert verdict.outcome == "failed"
    assert now < 2.0


def test_a_loop_that_is_late_ends_the_trial():
    verdict, now = watch(Worker(100, late=0.7), [Worker(101)])

    assert verdict == ("late", "its event loop was more than 0.5 s late for 2 s in all")
    assert now < 3.0


def test_requests_that_never_finish_end_the_trial():
    verdict, now = watch(Worker(20, seconds=1000.0), [Worker(101), Worker(102)])

    assert verdict.outcome == "unserved"
    assert now < 4.0


def test_a_sibling_that_comes_later_brings_no_past_along():
    class Newcomer:
        def at(self, now):
            return Deeds(now * 100 + 10_000, 5_000, 0)

    guard = TrialGuard(TRIAL, NONE, 0.0)
    trial = Worker(100, failing=1.0)
    assert guard.look(trial.at(0.01), {}, 0.01) is None
    found = None
    for look in range(1, 40):
        now = look * LOOK_SECONDS
        found = found or guard.look(trial.at(now), {1: Newcomer().at(now)}, now)

    assert found is not None
    assert found.outcome == "failed"
    assert "its siblings 0 of" in found.why


def test_what_was_served_before_counts_where_the_siblings_get_nothing_meanwhile():
    verdict, now = watch(Worker(1000, failing=1.0), [Worker(0.0001)], earlier=answered({"2xx": 10_000}))

    assert verdict.outcome == "failed"
    assert now < 0.2


class Answering:
    """A worker that answers so many requests a second with each kind, to so many clients."""

    def __init__(self, *, clients=9, **per_second):
        self._clients, self._per_second = clients, per_second

    def at(self, now):
        """Return what it has done by then."""
        counts = {f"{kind[1:]}": int(rate * now) for kind, rate in self._per_second.items()}
        given = answered(counts)
        return Deeds(sum(given.counts), 0.0, 0.0, answers=given, clients=self._clients)


def watch_answers(trial, sibling, *, before, was_alone=False):
    """Return how a trial of ten seconds ends."""
    guard = TrialGuard(TRIAL, answered(before), 0.0, was_alone=was_alone)
    looks = (look * LOOK_SECONDS for look in range(1, 1000))
    return next(found for now in looks if (found := guard.look(trial.at(now), {1: sibling.at(now)}, now)))


USUAL = {"2xx": 5000, "4xx": 3}


def test_answers_that_were_rare_before_and_that_no_sibling_gives_end_a_trial():
    verdict = watch_answers(Answering(_2xx=100, _4xx=50), Answering(_2xx=150), before=USUAL)

    assert verdict.outcome == "changed"
    assert "times 4xx, its siblings of " in verdict.why


def test_answers_that_the_siblings_give_as_well_are_no_harm():
    both = Answering(_2xx=100, _4xx=50)

    assert watch_answers(both, both, before=USUAL).outcome == "expired"


def test_answers_that_the_app_often_gave_before_are_no_harm():
    verdict = watch_answers(Answering(_2xx=50, _4xx=100), Answering(_2xx=150), before={"2xx": 5000, "4xx": 100})

    assert verdict.outcome == "expired"


def test_without_knowing_what_was_usual_no_answer_is_unusual():
    assert watch_answers(Answering(_4xx=50), Answering(_2xx=50), before={"2xx": 20}).outcome == "expired"


def test_unusual_answers_to_two_clients_end_no_trial():
    trial = Answering(_2xx=100, _4xx=50, clients=2)

    assert watch_answers(trial, Answering(_2xx=150), before=USUAL).outcome == "expired"
    assert watch_answers(trial, Answering(_2xx=150), before=USUAL, was_alone=True).outcome == "expired"


def test_answers_that_both_give_only_since_there_are_two_processes_end_a_trial():
    both = Answering(_2xx=100, _4xx=50)
    verdict = watch_answers(both, both, before=USUAL, was_alone=True)

    assert verdict.outcome == "unshared"
    assert verdict.why.startswith("since a second process serves, of ")


def test_a_second_process_that_answers_as_the_first_did_is_no_harm():
    assert watch_answers(Answering(_2xx=90), Answering(_2xx=80), before=USUAL, was_alone=True).outcome == "expired"


def test_an_unusual_answer_now_and_then_is_no_harm():
    both = Answering(_2xx=100, _4xx=1)

    assert watch_answers(both, both, before=USUAL, was_alone=True).outcome == "expired"
