from __future__ import annotations

import pytest

from stablehand_bench.tuner.timeline import Moment, longest_stretch, most_slots, settings_run, settled_at


def moments(*told):
    return [Moment(float(at), settings, tuple(classes.split()), 1.0) for at, settings, classes in told]


TRIED_AND_TAKEN_BACK = moments(
    (1, "sync 1", "sync"),
    (2, "", "gthread sync"),
    (3, "gthread 2 × 8", "gthread"),
    (4, "", "gevent gthread"),
    (5, "gevent 2 × 8", "gevent"),
    (6, "gevent 2 × 8", "gevent"),
    (7, "", "gevent gthread"),
    (8, "gthread 2 × 8", "gthread"),
    (9, "gthread 2 × 8", "gthread"),
)


def test_settled_is_the_first_moment_of_what_stays_to_the_end():
    assert settled_at(TRIED_AND_TAKEN_BACK) == 8.0


def test_what_never_changed_was_settled_from_the_beginning():
    assert settled_at(moments((1, "sync 1", "sync"), (2, "sync 1", "sync"))) == 0.0
    assert settled_at([]) == 0.0


def test_a_switch_that_comes_to_nothing_is_no_change():
    assert settled_at(moments((1, "sync 1", "sync"), (2, "", "sync"), (3, "sync 1", "sync"))) == 0.0


def test_a_switch_under_way_at_the_end_has_not_settled():
    assert settled_at(moments((1, "sync 1", "sync"), (2, "sync 1", "sync"), (7, "", "gthread sync"))) == 7.0


def test_each_return_to_settings_is_reported_again():
    assert settings_run(TRIED_AND_TAKEN_BACK) == [
        (1.0, "sync 1"),
        (3.0, "gthread 2 × 8"),
        (5.0, "gevent 2 × 8"),
        (8.0, "gthread 2 × 8"),
    ]


def test_a_stretch_counts_from_the_first_worker_of_a_class_until_none_was_seen():
    assert longest_stretch(TRIED_AND_TAKEN_BACK, "gevent") == pytest.approx(4.0)
    assert longest_stretch(TRIED_AND_TAKEN_BACK, "asgi") == 0.0


def test_a_stretch_that_lasts_to_the_end_counts():
    assert longest_stretch(moments((1, "gevent 1 × 9", "gevent"), (60, "gevent 1 × 9", "gevent")), "gevent") == 59.0


def test_two_short_stretches_are_not_one_long_one():
    told = moments((1, "a", "gevent"), (2, "b", "sync"), (9, "a", "gevent"), (10, "b", "sync"))

    assert longest_stretch(told, "gevent") == 1.0


def test_the_most_slots_of_any_moment():
    assert most_slots([Moment(1, "a", (), 4), Moment(2, "b", (), 64), Moment(3, "a", (), 4)]) == 64
    assert most_slots([]) == 0
