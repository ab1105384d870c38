"""What may break an app, and what guards a trial of it."""

from __future__ import annotations

import pytest

from stablehand_tuner.contracts.settings import Settings, WorkerClass
from stablehand_tuner.model import risk
from stablehand_tuner.model.known import Known
from stablehand_tuner.model.tries import SEVERAL
from stablehand_tuner.policy import Windows
from stablehand_tuner.reasons import Reason

GOAL = Settings(WorkerClass.GTHREAD, 2, 4)
SYNC, GTHREAD, GEVENT = WorkerClass.SYNC, WorkerClass.GTHREAD, WorkerClass.GEVENT


@pytest.mark.parametrize(
    ("before", "target", "what"),
    [
        (Settings(SYNC, 2), Settings(GTHREAD, 2, 4), "gthread"),
        (Settings(GTHREAD, 2, 8), Settings(GEVENT, 2, 1, 100), "gevent"),
        (Settings(GTHREAD, 2, 1), Settings(GTHREAD, 2, 2), "gthread"),
        (Settings(SYNC, 1), Settings(SYNC, 2), SEVERAL),
        (Settings(GTHREAD, 1, 4), Settings(GTHREAD, 2, 4), SEVERAL),
        (Settings(SYNC, 2), Settings(SYNC, 4), None),
        (Settings(GTHREAD, 2, 4), Settings(GTHREAD, 2, 8), None),
        (Settings(GEVENT, 1, 1, 50), Settings(GEVENT, 1, 1, 100), None),
        (Settings(GTHREAD, 4, 8), Settings(GTHREAD, 1, 8), None),
    ],
    ids=str,
)
def test_another_class_first_threads_and_the_first_second_process_may_break_an_app(before, target, what):
    assert risk.of(before, target, Known()) == what


def test_a_second_process_that_did_no_harm_is_no_risk_any_more():
    known = Known().with_several(Reason.TRIAL_PASSED)

    assert risk.of(Settings(SYNC, 1), Settings(SYNC, 2), known) is None
    assert not known.only_one_process


def test_beside_the_only_process_another_one_needs_memory_and_an_app_that_bears_it(make_observation):
    alone, two, fits = Settings(SYNC, 1), Settings(SYNC, 2), make_observation()
    tight = make_observation(worker_memory_bytes=600e6)

    assert risk.has_room(alone, Known(), fits)
    assert not risk.has_room(alone, Known(), tight)
    assert risk.has_room(two, Known(), tight), "the server replaces one of them"
    assert not risk.has_room(alone, Known().with_several(Reason.TRIAL_ANSWERS), fits)


def test_a_trial_may_take_as_long_as_its_load_needs(make_observation):
    windows, before, target = Windows(), Settings(SYNC, 2), Settings(GTHREAD, 2, 4)
    busy, quiet = make_observation(requests=15000.0), make_observation(requests=15.0)
    short, long = (
        risk.trial(1, target, target, windows, baseline=each, before=before).seconds for each in (busy, quiet)
    )

    assert windows.trial_seconds < short < long <= 3 * windows.canary_seconds


def test_requests_that_take_long_are_not_taken_for_unserved_ones(make_observation):
    slow = make_observation(busy_seconds_total=1500.0)
    trial = risk.trial(1, GOAL, GOAL, Windows(), baseline=slow, before=Settings(SYNC, 2))

    assert trial.guard.unserved_seconds == 50.0


def test_harm_is_that_of_the_class_or_of_several_processes():
    target = Settings(GTHREAD, 2, 4)

    assert risk.with_harm(Known(), "gthread", target, Reason.TRIAL_ERRORS).banned == {GTHREAD: Reason.TRIAL_ERRORS}
    assert risk.with_harm(Known(), SEVERAL, target, Reason.TRIAL_ERRORS).only_one_process
