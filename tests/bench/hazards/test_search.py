from __future__ import annotations

import pytest

from stablehand_bench.hazards import search
from stablehand_bench.hazards.search import Tried
from stablehand_tuner.contracts.settings import Settings, WorkerClass

SYNC, GTHREAD, GEVENT = WorkerClass.SYNC, WorkerClass.GTHREAD, WorkerClass.GEVENT
BREAKING = Settings(GTHREAD, 8, threads=64)


def tried(settings, per_second=100.0, p99=0.1, *, harmless=True):
    return Tried(settings, per_second, p99, harmless)


def found(serve):
    """Search through an app that serves so much with settings; None stands for failed requests."""
    known = []
    wanted = search.coarse(BREAKING)
    for stage in (*search.stages(), None):
        for each in wanted:
            if search.is_worth(each, known):
                known.append(tried(each, serve(each) or 0.0, harmless=serve(each) is not None))
        wanted = [] if stage is None else search.further(known, stage)
    return search.best(known), known


def test_what_harms_is_never_the_best_however_fast():
    fast, slow = tried(Settings(GEVENT, 2), 900.0, harmless=False), tried(Settings(SYNC, 2), 10.0)

    assert search.best([fast, slow]) == slow
    assert search.best([fast]) is None


def test_within_five_percent_the_lowest_p99_is_the_best():
    first, second = tried(Settings(SYNC, 1), 100.0, 0.3), tried(Settings(SYNC, 2), 96.0, 0.1)

    assert search.best([first, second]) == second
    assert search.candidates([first, second], 2) == [second.settings, first.settings]


def test_every_class_and_the_breaking_settings_are_tried_first():
    first = search.coarse(BREAKING)

    assert {each.worker_class for each in first} == {SYNC, GTHREAD, GEVENT, WorkerClass.ASGI}
    assert BREAKING in first
    assert len(set(first)) == len(first)


def test_a_ceiling_between_two_cells_of_the_coarse_grid_is_found():
    # A database that accepts 12: sync 8 and gthread 2 × 4 are within, gthread 1 × 16 is beyond.
    best, known = found(lambda each: 50.0 * each.slots if each.slots <= 12 else None)

    assert best.settings.slots == 12
    assert len(known) <= search.MOST_CELLS


def test_the_number_of_processes_is_found_where_only_they_count():
    best, _ = found(lambda each: 100.0 * min(each.workers, 5) - 30 * each.slots)

    assert best.settings == Settings(SYNC, 5)


def test_nothing_is_tried_twice_and_nothing_outside_of_the_grid():
    _, known = found(lambda each: float(each.slots))
    settings = [each.settings for each in known]

    assert len(set(settings)) == len(settings)
    assert all(each.workers <= 8 and each.threads <= 64 for each in settings)


def test_where_everything_harms_the_search_ends():
    best, known = found(lambda _each: None)

    assert best is None
    assert sorted(str(each.settings) for each in known) == [
        "asgi 2 × 1000",
        "gevent 1 × 1000",
        "gthread 1 × 4",
        "sync 1",
    ]


def test_more_of_what_has_failed_is_not_tried():
    failed = [tried(Settings(GTHREAD, 2, threads=4), harmless=False)]

    assert not search.is_worth(Settings(GTHREAD, 2, threads=8), failed)
    assert not search.is_worth(Settings(GTHREAD, 3, threads=4), failed)
    assert search.is_worth(Settings(GTHREAD, 1, threads=64), failed)
    assert search.is_worth(Settings(GTHREAD, 4, threads=2), failed)
    assert search.is_worth(Settings(SYNC, 8), failed)


@pytest.mark.parametrize(
    ("per_second", "p99", "worth"), [(106.0, 0.1, True), (104.0, 0.1, False), (90.0, 0.09, True), (90.0, 0.2, False)]
)
def test_more_threads_are_tried_as_long_as_they_bring_throughput_or_a_lower_p99(per_second, p99, worth):
    known = [tried(Settings(GTHREAD, 1, threads=16), per_second, p99), tried(Settings(GTHREAD, 1, threads=4))]

    assert search.is_worth(Settings(GTHREAD, 1, threads=64), known) is worth
    assert search.is_worth(Settings(GTHREAD, 1, threads=8), known)
    assert search.is_worth(Settings(GTHREAD, 2, threads=64), known)
