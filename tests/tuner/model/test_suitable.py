from __future__ import annotations

import pytest

from stablehand_tuner.contracts.settings import Settings, WorkerClass
from stablehand_tuner.model import limits, suitable
from stablehand_tuner.model.propose import propose
from stablehand_tuner.observe.traits import Traits
from stablehand_tuner.policy import TUNABLE_CLASSES, Policy

SYNC, GTHREAD, GEVENT, ASGI = TUNABLE_CLASSES
BY_GEVENT, BY_EVENTLET = (Traits(patched_by=frozenset({library})) for library in ("gevent", "eventlet"))
EARLY = Traits(imported_early=frozenset({"urllib3"}))


@pytest.mark.parametrize(
    ("traits", "classes"),
    [
        (Traits(), (SYNC, GTHREAD, GEVENT)),
        (BY_GEVENT, (SYNC, GEVENT)),
        (BY_EVENTLET, (SYNC,)),
        (Traits(patched_by=frozenset({"gevent", "eventlet"})), (SYNC,)),
        (EARLY, (SYNC, GTHREAD)),
        (Traits(frozenset({"gevent"}), frozenset({"other"})), (SYNC,)),
        (Traits(runs=frozenset({"threads", "scheduler", "child_processes"})), (SYNC, GTHREAD, GEVENT)),
        (Traits(runs=frozenset({"event_loop"})), (SYNC, GTHREAD)),
        (Traits(runs=frozenset({"timer_signals"})), (SYNC, GEVENT)),
        (Traits(runs=frozenset({"event_loop", "lasting_event_loop"})), (SYNC,)),
    ],
)
def test_only_classes_that_can_serve_the_app_are_candidates(make_observation, traits, classes):
    assert limits.candidate_classes(Policy(), make_observation(traits=traits)) == classes


def test_an_asgi_app_stays_what_it_is(make_observation):
    seen = make_observation(traits=BY_GEVENT, settings=Settings(ASGI, 1))

    assert limits.candidate_classes(Policy(), seen, current=Settings(ASGI, 1)) == (ASGI,)
    assert suitable.why_it_hangs(ASGI, seen) is None


@pytest.mark.parametrize(
    ("worker_class", "traits", "hangs"),
    [
        (SYNC, BY_GEVENT, False),
        (GEVENT, BY_GEVENT, False),
        (GTHREAD, BY_GEVENT, True),
        (GEVENT, BY_EVENTLET, True),
        (WorkerClass.EVENTLET, BY_EVENTLET, False),
        (GEVENT, EARLY, False),
        (GTHREAD, Traits(), False),
    ],
)
def test_a_class_may_hang_where_the_app_has_patched_itself_for_another(make_observation, worker_class, traits, hangs):
    assert (suitable.why_it_hangs(worker_class, make_observation(traits=traits)) is not None) == hangs


def test_each_reason_names_what_it_rests_on(make_observation):
    assert "gevent" in (suitable.why_not(GTHREAD, make_observation(traits=BY_GEVENT)) or "")
    assert "urllib3" in (suitable.why_not(GEVENT, make_observation(traits=EARLY)) or "")
    assert "grpc" in (suitable.why_not(GEVENT, make_observation(blocking_modules=frozenset({"grpc"}))) or "")


def test_the_class_that_the_app_has_patched_for_takes_over_the_slots(make_observation):
    current = Settings(GTHREAD, 2, 16)
    seen = make_observation(traits=BY_GEVENT, settings=current)

    assert limits.move_to_suitable(Policy(), seen, current, {}) == Settings(GEVENT, 2, 1, 16)
    assert limits.move_to_suitable(Policy(), seen, current, {GEVENT}) == Settings(SYNC, 2)
    assert limits.move_to_suitable(Policy(worker_classes=(GTHREAD,)), seen, current, {}) is None


@pytest.mark.parametrize(
    ("runs", "said"), [({"threads", "scheduler"}, "a scheduler"), ({"threads"}, "threads of its own"), (set(), None)]
)
def test_more_processes_ask_whether_the_app_may_run_what_it_runs_several_times(make_observation, runs, said):
    seen = make_observation(traits=Traits(runs=frozenset(runs)))
    asked = [each for each in propose(Policy(), seen, Settings(SYNC, 1)).needs if "in each of" in each]

    assert len(asked) == (said is not None)
    assert said is None or said in asked[0]


def test_nothing_is_asked_where_there_are_no_more_processes(make_observation):
    seen = make_observation(traits=Traits(runs=frozenset({"threads"})))

    assert not [each for each in propose(Policy(workers_highest=1), seen, Settings(SYNC, 1)).needs if "each of" in each]


def test_more_slots_ask_whether_the_database_bears_a_connection_for_each(make_observation):
    seen = make_observation(traits=Traits(runs=frozenset({"persistent_connections"})), pods=2.0)
    proposal = propose(Policy(), seen, Settings(SYNC, 1))
    asked = [each for each in proposal.needs if "connections" in each]

    assert proposal.settings.slots > 1
    assert len(asked) == 1
    assert f"bears {2 * proposal.settings.slots} connections" in asked[0]
