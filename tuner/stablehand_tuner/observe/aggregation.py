"""Adding observations up: over time into a longer window, and over pods into one of the whole app."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from stablehand_tuner.observe import histogram
from stablehand_tuner.observe.traits import Traits

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stablehand_tuner.observe.observation import Observation

_SUMS = (
    "requests",
    "errors",
    "busy_seconds_total",
    "cpu_seconds_total",
    "children_cpu_seconds_total",
    "run_delay_seconds_total",
    "queued_seconds_total",
    "throttled_seconds_total",
    "switches_rejected",
    "switches_rolled_back",
    "oom_exits",
)
_GAUGES = ("busy_slots", "slots", "backlog", "connections", "workers_ready", "cores")
_HIGHEST = ("worker_memory_bytes", "lag_seconds")


def merge(earlier: Observation, later: Observation) -> Observation:
    """Join two consecutive observations of the same pods into one over the time of both."""
    seconds = earlier.seconds + later.seconds
    weights = (earlier.seconds / seconds, later.seconds / seconds)
    pair = (earlier, later)
    changed: dict[str, Any] = {
        **{name: sum(getattr(each, name) for each in pair) for name in _SUMS},
        **{name: _mean([getattr(each, name) for each in pair], weights) for name in _GAUGES},
        **{name: _highest([getattr(each, name) for each in pair]) for name in _HIGHEST},
    }
    return dataclasses.replace(
        later,
        seconds=seconds,
        pods=_mean([each.pods for each in pair], weights),
        **changed,
        duration_buckets=histogram.add([each.duration_buckets for each in pair]),
        peak_demand=max(earlier.peak_demand, later.peak_demand),
        # a burst in one scrape interval is not saturation: the mean over the time counts
        busiest_worker_cores=_mean([each.busiest_worker_cores for each in pair], weights),
        worker_memory_bytes_mean=_known_mean(pair, weights),
        lag_seconds_mean=_mean([each.lag_seconds_mean for each in pair], weights),
        pool_in_use=_mean([each.pool_in_use for each in pair], weights),
        steady=earlier.steady and later.steady and earlier.settings_active == later.settings_active,
    )


def combine(observations: Sequence[Observation]) -> Observation:
    """Join the observations of several pods over the same time into one of the whole app.

    Settings are those that all pods agree on, else None; classes those that every pod has; modules those of any.

    Raises:
        ValueError: when there is no observation.
    """
    if not observations:
        raise ValueError("there is no observation to join")
    first = observations[0]
    pods = sum(each.pods for each in observations)
    weights = tuple(each.pods / pods for each in observations)
    seconds = _mean([each.seconds for each in observations], weights)
    # pods are scraped at different moments: scale their sums to the same length before adding them up
    scaled = [(each, seconds / each.seconds) for each in observations]
    limits = [each.memory_limit_bytes for each in observations if each.memory_limit_bytes is not None]
    changed: dict[str, Any] = {
        **{name: sum(getattr(each, name) * scale for each, scale in scaled) for name in _SUMS},
        **{name: sum(getattr(each, name) for each in observations) for name in _GAUGES},
        **{name: _highest([getattr(each, name) for each in observations]) for name in _HIGHEST},
    }
    active = {each.settings_active for each in observations}
    desired = {each.settings_desired for each in observations}
    return dataclasses.replace(
        first,
        seconds=seconds,
        pods=pods,
        **changed,
        duration_buckets=histogram.add([each.duration_buckets for each in observations]),
        peak_demand=sum(each.peak_demand for each in observations),
        pods_full_of_retiring=sum(each.pods_full_of_retiring for each in observations),
        busiest_worker_cores=max(each.busiest_worker_cores for each in observations),
        worker_memory_bytes_mean=_known_mean(observations, weights),
        memory_limit_bytes=min(limits) if limits else None,
        lag_seconds_mean=max(each.lag_seconds_mean for each in observations),
        settings_desired=first.settings_desired if len(desired) == 1 else None,
        settings_active=first.settings_active if len(active) == 1 else None,
        steady=all(each.steady for each in observations) and len(active) == 1,
        generation=max(each.generation for each in observations),
        available_classes=frozenset.intersection(*(each.available_classes for each in observations)),
        blocking_modules=frozenset.union(*(each.blocking_modules for each in observations)),
        cores_per_process=min(each.cores_per_process for each in observations),
        pool_size=min((each.pool_size for each in observations if each.pool_size), default=0.0),
        pool_in_use=_mean([each.pool_in_use for each in observations], weights),
        traits=Traits.of_any(each.traits for each in observations),
    )


def _mean(values: Sequence[float], weights: Sequence[float]) -> float:
    return sum(value * weight for value, weight in zip(values, weights, strict=True))


def _highest(values: Sequence[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)


def _known_mean(observations: Sequence[Observation], weights: Sequence[float]) -> float | None:
    known = [
        (each.worker_memory_bytes_mean, weight)
        for each, weight in zip(observations, weights, strict=True)
        if each.worker_memory_bytes_mean is not None
    ]
    if not known:
        return None
    return sum(value * weight for value, weight in known) / sum(weight for _, weight in known)
