"""The search for the best static settings that fail nothing: a coarse grid, then the neighbours of the best. Pure.

The whole grid is sync 1 to 8, gthread 1 to 8 × 1 to 64, gevent and asgi; some twenty of its cells find its best.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, NamedTuple

from stablehand_bench.tuner import oracle
from stablehand_bench.tuner.oracle import Score
from stablehand_tuner.contracts.settings import Range, Settings, WorkerClass

if TYPE_CHECKING:
    from collections.abc import Sequence

MOST_CELLS = 30
_STAGES = 3
_WORKERS = Range(1, 8)
_THREADS = Range(2, 64)
_SYNC, _GTHREAD, _GEVENT, _ASGI = WorkerClass.SYNC, WorkerClass.GTHREAD, WorkerClass.GEVENT, WorkerClass.ASGI


class Tried(NamedTuple):
    """Settings and what they reached; `is_harmless` is whether every request was answered as it should be."""

    settings: Settings
    per_second: float
    p99_seconds: float
    is_harmless: bool


def coarse(breaking: Settings) -> list[Settings]:
    """Return what is tried first: every class, and the settings that are said to break the app."""
    found = [
        *(Settings(_SYNC, workers) for workers in (1, 2, 4, 8)),
        *(Settings(_GTHREAD, workers, threads=threads) for workers in (1, 2, 4) for threads in (4, 16, 64)),
        *(Settings(_GEVENT, workers) for workers in (1, 2)),
        Settings(_ASGI, 2, threads=64),  # behind a bridge: its threads serve
        breaking,
    ]
    return list(dict.fromkeys(found))


def further(tried: Sequence[Tried], stage: int) -> list[Settings]:
    """Return what to try next: the neighbours of the best harmless so far that were not tried; empty at the end.

    In the first stages threads are doubled and halved, in the last they change by half.
    """
    found = best(tried)
    if found is None or stage >= _STAGES:
        return []
    known = {each.settings for each in tried}
    near = [each for each in _neighbours(found.settings, fine=stage == _STAGES - 1) if each not in known]
    return near[: max(0, MOST_CELLS - len(tried))]


def is_worth(settings: Settings, tried: Sequence[Tried]) -> bool:
    """Return whether settings may still be the best harmless, by what others of their class have shown.

    They cannot where as few or fewer processes with as few or fewer threads have failed requests. Nor can they behind
    the knee: where the last increase of threads, in as many processes, has brought neither throughput nor a lower p99.
    """
    alike = [each for each in tried if each.settings.worker_class is settings.worker_class]
    if any(not each.is_harmless and _is_within(each.settings, settings) for each in alike):
        return False
    fewer = [
        each for each in alike if each.settings.workers == settings.workers and _is_within(each.settings, settings)
    ]
    if settings.worker_class is not _GTHREAD or len(fewer) < 2:  # noqa: PLR2004 (an increase is between two)
        return True
    before, last = sorted(fewer, key=lambda each: each.settings.threads)[-2:]
    return last.per_second * oracle.NEARLY > before.per_second or last.p99_seconds < before.p99_seconds


def _is_within(some: Settings, settings: Settings) -> bool:
    return some.workers <= settings.workers and some.threads <= settings.threads


def stages() -> range:
    """Return the numbers of the stages after the coarse grid."""
    return range(_STAGES)


def best(tried: Sequence[Tried]) -> Tried | None:
    """Return the best of the harmless: within 5 % of the highest throughput the lowest p99; None if all harm."""
    harmless = {str(number): each for number, each in enumerate(tried) if each.is_harmless}
    found = oracle.best(Score(name, each.per_second, each.p99_seconds) for name, each in harmless.items())
    return None if found is None else harmless[found.name]


def candidates(tried: Sequence[Tried], count: int) -> list[Settings]:
    """Return the best few harmless, which are measured again for longer: one short look also finds lucky ones."""
    scores = [Score(str(n), each.per_second, each.p99_seconds) for n, each in enumerate(tried) if each.is_harmless]
    return [tried[int(name)].settings for name in oracle.candidates(scores, count)]


def _neighbours(settings: Settings, *, fine: bool) -> list[Settings]:
    if settings.worker_class is _SYNC:
        return [*_sync(settings.workers), *_threads_in_place_of(settings.workers)]
    if settings.worker_class is _GTHREAD:
        return _gthread(settings.workers, settings.threads, fine=fine)
    return [dataclasses.replace(settings, workers=workers) for workers in (1, 2, 4)]


def _sync(workers: int) -> list[Settings]:
    return [Settings(_SYNC, each) for each in (workers - 1, workers + 1) if each in _WORKERS]


def _threads_in_place_of(workers: int) -> list[Settings]:
    """Return threads in fewer processes, for as many requests at once as so many sync workers serve, or more."""
    half, quarter = max(1, workers // 2), max(1, workers // 4)
    found = [(half, 2), (half, 3), (quarter, 6), (quarter, 8)]
    return [Settings(_GTHREAD, count, threads=threads) for count, threads in dict.fromkeys(found)]


def _gthread(workers: int, threads: int, *, fine: bool) -> list[Settings]:
    coarse = [
        (workers, 2 * threads),
        (workers, threads // 2),
        (2 * workers, threads // 2),
        (2 * workers, threads),
        (workers // 2, 2 * threads),
    ]
    close = [
        (workers, threads * 3 // 2),
        (workers, threads * 3 // 4),
        (workers + 1, threads),
        (workers - 1, threads),
    ]
    return [
        Settings(_GTHREAD, count, threads=each)
        for count, each in (close if fine else coarse)
        if count in _WORKERS and each in _THREADS
    ]
