"""Which classes can serve an app at all, by what the server reports about it before anything is tried."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stablehand_tuner.contracts.settings import WorkerClass

if TYPE_CHECKING:
    from stablehand_tuner.observe.observation import Observation


def why_not(worker_class: WorkerClass, observation: Observation) -> str | None:
    """Return in one sentence why a class is no candidate for the app; None where nothing speaks against it."""
    hangs = why_it_hangs(worker_class, observation)
    if hangs is not None:
        return hangs
    if worker_class is WorkerClass.GTHREAD and "timer_signals" in observation.traits.runs:
        return "requests set handlers of a timer's signals, which only the main thread can do"
    if worker_class is WorkerClass.GTHREAD and "lasting_event_loop" in observation.traits.runs:
        return "requests run one event loop of asyncio's again and again, which only the main thread can do"
    return _why_no_greenlets(observation) if worker_class is WorkerClass.GEVENT else None


def _why_no_greenlets(observation: Observation) -> str | None:
    if "event_loop" in observation.traits.runs:
        return "requests run asyncio's event loop, which only one of gevent's greenlets can do at a time"
    if observation.blocking_modules:
        return f"{', '.join(sorted(observation.blocking_modules))} would block its event loop"
    if observation.traits.imported_early:
        early = ", ".join(sorted(observation.traits.imported_early))
        return f"what the master has imported already ({early}) cannot be made cooperative any more"
    return None


def why_it_hangs(worker_class: WorkerClass, observation: Observation) -> str | None:
    """Return in one sentence why requests of the app may never end under a class; None where they do.

    An app that has replaced Python's threads with those of an event loop runs on that loop, and under sync, which has
    no threads; a class with threads of its own may wait for ever. An ASGI app stays under asgi, whatever it does.
    """
    libraries = observation.traits.patched_by
    if worker_class in {WorkerClass.SYNC, WorkerClass.ASGI} or libraries <= {worker_class.value}:
        return None
    return f"the app has replaced Python's threads with {min(libraries)}'s, with which {worker_class} may hang"
