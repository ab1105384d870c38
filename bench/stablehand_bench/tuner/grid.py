"""The static settings that are tried for each workload: what a careful person would try by hand. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stablehand_tuner.contracts.settings import Settings, WorkerClass

if TYPE_CHECKING:
    from collections.abc import Sequence

_SYNC, _GTHREAD, _GEVENT, _ASGI = WorkerClass.SYNC, WorkerClass.GTHREAD, WorkerClass.GEVENT, WorkerClass.ASGI


def text(settings: Settings) -> str:
    """Return settings as people say them, with the threads that serve a WSGI app behind the class asgi."""
    if settings.worker_class is _ASGI and settings.threads > 1:
        return f"{_ASGI} {settings.workers} × {settings.threads} threads"
    return str(settings)


def settings(cores: int, *, asgi: bool, quick: bool) -> Sequence[Settings]:
    """Return the grid for a server on so many cores.

    Args:
        cores: that the server may use.
        asgi: whether the app is an ASGI app, which only the class asgi serves.
        quick: a few of them, for a run of minutes.
    """
    if asgi:
        processes = (1, cores) if quick else (1, cores, 2 * cores)
        return [Settings(_ASGI, workers) for workers in dict.fromkeys(processes)]
    if quick:
        return [
            Settings(_SYNC, cores),
            Settings(_SYNC, 4 * cores),
            Settings(_GTHREAD, cores, threads=16),
            Settings(_GTHREAD, cores, threads=64),
            Settings(_GEVENT, cores),
        ]
    return list(
        dict.fromkeys(
            [
                *(Settings(_SYNC, workers) for workers in (cores, 2 * cores, 4 * cores, 8 * cores)),
                *(Settings(_GTHREAD, cores, threads=threads) for threads in (4, 8, 16, 32, 64)),
                Settings(_GTHREAD, 1, threads=32),
                Settings(_GTHREAD, 2 * cores, threads=16),
                *(Settings(_GEVENT, workers) for workers in (1, cores)),
                Settings(_ASGI, cores, threads=64),  # behind a bridge: its threads serve
            ]
        )
    )
