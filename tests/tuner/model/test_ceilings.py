"""Ceilings: what they leave of the settings that are wanted, and how they are found, confirmed and forgotten."""

from __future__ import annotations

import json

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from stablehand_tuner.contracts.settings import Range, Settings, WorkerClass
from stablehand_tuner.model.ceiling import HARM_SECONDS, KNEE_SECONDS, LONGEST_SECONDS, Ceiling, Level
from stablehand_tuner.model.ceilings import MOST_CEILINGS, Ceilings, Limit, reduced, within
from stablehand_tuner.policy import Policy
from stablehand_tuner.reasons import Reason

SYNC, GTHREAD, GEVENT = WorkerClass.SYNC, WorkerClass.GTHREAD, WorkerClass.GEVENT
ERRORS, NO_GAIN = Reason.TRIAL_ERRORS, Reason.TRIAL_NO_GAIN
POLICY = Policy()
NOW = 1000.0


def found(level, reason=ERRORS, *, good=16, bad=32, cost=0.001, now=NOW, known=Ceilings()):  # noqa: B008 (a value)
    return known.with_found(level, reason, good=good, bad=bad, cost=cost, now=now)


def limited(known, wanted, current, *, pods=1.0, processes=Range(1, 8), cost=0.001, now=NOW):  # noqa: B008 (a value)
    return within(
        POLICY,
        known.limits(cost, now),
        wanted,
        current=current,
        processes=processes,
        pods=pods,
        candidates=(SYNC, GTHREAD, GEVENT),
    )


@st.composite
def running(draw):
    worker_class = draw(st.sampled_from([SYNC, GTHREAD]))
    return Settings(worker_class, draw(st.integers(1, 16)), 1 if worker_class is SYNC else draw(st.integers(1, 64)))


@given(
    current=running(),
    wanted=running(),
    level=st.sampled_from(Level),
    reason=st.sampled_from([ERRORS, NO_GAIN]),
    good=st.integers(1, 100),
    more=st.integers(1, 100),
    pods=st.integers(1, 5),
)
def test_no_growth_exceeds_a_ceiling(current, wanted, pods, **ceiling):
    level, good = ceiling["level"], ceiling["good"]
    known = found(level, ceiling["reason"], good=good, bad=good + ceiling["more"])
    settings, stopped = limited(known, wanted, current, pods=pods)

    if (settings.slots, settings.workers) > (current.slots, current.workers):
        assert level.slots(settings, pods) <= good
    assert (settings == wanted) or stopped is not None
    assert POLICY.allows(settings)


@given(current=running(), wanted=running(), pods=st.integers(1, 5))
def test_without_a_ceiling_everything_stays_as_it_is_wanted(current, wanted, pods):
    assert limited(Ceilings(), wanted, current, pods=pods) == (wanted, None)


def test_processes_take_the_place_of_the_slots_that_one_process_cannot_use():
    lock = found(Level.PROCESS, NO_GAIN, good=1, bad=2)

    assert limited(lock, Settings(GTHREAD, 2, 48), Settings(GTHREAD, 2, 1))[0] == Settings(GTHREAD, 8, 1)
    assert limited(lock, Settings(GTHREAD, 2, 48), Settings(SYNC, 4))[0] == Settings(SYNC, 8)
    assert limited(lock, Settings(GEVENT, 2, 1, 100), Settings(SYNC, 4))[0] == Settings(SYNC, 8)


def test_a_ceiling_of_all_pods_is_shared_out():
    database = found(Level.APP, good=16, bad=32)

    assert limited(database, Settings(GTHREAD, 2, 48), Settings(GTHREAD, 2, 1))[0] == Settings(GTHREAD, 2, 8)
    assert limited(database, Settings(GTHREAD, 2, 48), Settings(GTHREAD, 2, 1), pods=2)[0] == Settings(GTHREAD, 2, 4)
    assert limited(database, Settings(GTHREAD, 2, 48), Settings(GTHREAD, 2, 1), pods=8)[0] == Settings(GTHREAD, 2, 1)


def test_what_more_pods_exceed_is_shared_at_once_and_what_one_pod_was_given_is_not():
    database = found(Level.APP, good=16, bad=32)
    current = Settings(GTHREAD, 2, 8)

    assert database.shared(current, 1.0) == ()
    (limit,) = database.shared(current, 3.0)
    assert reduced(POLICY, current, int(limit.slots / 3)) == Settings(GTHREAD, 2, 2)
    assert found(Level.APP, NO_GAIN).shared(current, 3.0) == (), "no gain is no harm"


@given(settings=running(), slots=st.integers(1, 100))
def test_reduced_settings_have_no_more_slots_than_they_may(settings, slots):
    assert reduced(POLICY, settings, slots).slots <= max(1, slots)


def test_a_knee_is_that_of_its_kind_of_requests_and_harm_is_that_of_all():
    knee, harm = found(Level.POD, NO_GAIN, cost=0.001), found(Level.POD, cost=0.001)

    assert len(knee.limits(0.0012, NOW)) == 1
    assert knee.limits(0.01, NOW) == ()
    assert len(harm.limits(0.01, NOW)) == 1


def test_a_ceiling_is_tried_again_a_little_higher_after_its_time_and_each_time_later():
    known, now = found(Level.APP), NOW
    (ceiling,) = known.known
    for hours in (1, 2, 4, 8, 16, 24, 24):
        assert ceiling.until == now + min(LONGEST_SECONDS, hours * HARM_SECONDS)
        assert known.limits(0.001, ceiling.until - 1) == (Limit(ceiling, 16),)
        assert known.limits(0.001, ceiling.until) == (Limit(ceiling, 24),)
        now = ceiling.until
        known = found(Level.APP, good=16, bad=20, now=now, known=known)
        (ceiling,) = known.known
    assert found(Level.POD, NO_GAIN).known[0].until == NOW + KNEE_SECONDS


def test_a_ceiling_that_is_searched_within_its_time_is_not_found_twice():
    known = found(Level.APP, good=16, bad=20, now=NOW + 5, known=found(Level.APP))

    assert [(each.good, each.bad, each.found) for each in known.known] == [(16, 20, 1)]


def test_what_passes_raises_a_ceiling_within_its_time_and_after_it_ends_it():
    known = found(Level.APP)
    between, far, same = Settings(GTHREAD, 2, 10), Settings(GTHREAD, 2, 16), Settings(GTHREAD, 2, 8)

    assert [each.good for each in known.passed(between, 1.0, 0.001, NOW).known] == [20]
    assert known.passed(far, 1.0, 0.001, NOW).known == ()
    assert known.passed(same, 1.0, 0.001, NOW) == known
    assert known.passed(between, 1.0, 0.001, NOW + HARM_SECONDS).known == ()


def test_a_ceiling_that_was_of_another_level_is_taken_back():
    known = found(Level.POD, NO_GAIN, known=found(Level.PROCESS, NO_GAIN))

    assert [each.level for each in known.without(Level.PROCESS, NO_GAIN).known] == [Level.POD]


def test_a_clock_that_was_set_back_makes_no_ceiling_hold_for_longer():
    assert found(Level.APP, now=1e9).not_after(NOW).known[0].until == NOW + HARM_SECONDS


def test_few_are_remembered_the_newest_of_them():
    known = Ceilings()
    for number in range(20):
        known = found(Level.POD, NO_GAIN, cost=0.001 * 2**number, known=known)

    assert len(known.known) == MOST_CEILINGS
    assert known.known[-1].cost == 0.001 * 2**19


@given(
    st.lists(
        st.builds(
            lambda level, reason, good, more, cost, until, times: Ceiling(
                level, reason, good, good + more, cost, until, times
            ),
            st.sampled_from(Level),
            st.sampled_from([ERRORS, NO_GAIN]),
            st.integers(1, 10**6),
            st.integers(1, 10**6),
            st.none() | st.floats(1e-6, 10),
            st.floats(0, 1e10),
            st.integers(1, 16),
        ),
        max_size=MOST_CEILINGS,
    )
)
def test_ceilings_survive_their_json(known):
    ceilings = Ceilings(tuple(known))

    assert Ceilings.from_list(json.loads(json.dumps(ceilings.to_list()))) == ceilings


@pytest.mark.parametrize(
    ("name", "value"),
    [("good", 0), ("good", 32), ("bad", 1.5), ("found", 0), ("cost", -1), ("until", None), ("level", "rack")],
)
def test_a_ceiling_that_nobody_can_have_found_is_refused(name, value):
    (fields,) = found(Level.APP).to_list()

    with pytest.raises((ValueError, TypeError)):
        Ceiling.from_mapping({**fields, name: value})


def test_a_ceiling_says_what_it_is():
    assert (
        str(found(Level.APP).known[0]) == "with more than 16 slots of all pods together (32 were tried) requests fail"
    )
    assert str(found(Level.PROCESS, NO_GAIN, good=1, bad=2).known[0]).endswith("(2 were tried) no more is served")


def test_growth_within_a_ceiling_is_untouched():
    wanted = Settings(GTHREAD, 2, 8)

    assert limited(found(Level.APP), wanted, Settings(GTHREAD, 2, 4)) == (wanted, None)


@given(current=running(), level=st.sampled_from(Level), good=st.integers(1, 50))
def test_what_runs_is_left_alone_even_above_a_ceiling(current, level, good):
    assume(level.slots(current, 1.0) > good)

    assert limited(found(level, good=good, bad=good + 1), current, current) == (current, None)


def test_what_failed_since_a_moment_is_forgotten_and_what_only_gained_nothing_is_not():
    before = found(Level.APP)
    known = found(Level.PROCESS, NO_GAIN, now=NOW + 10, known=found(Level.POD, now=NOW + 10, known=before))

    assert [each.level for each in known.without_harm_since(NOW + 5).known] == [Level.APP, Level.PROCESS]
    assert known.without_harm_since(NOW + 20) == known
