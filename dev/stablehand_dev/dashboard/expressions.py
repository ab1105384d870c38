"""The dashboard's PromQL, built from the metrics registry, so that a renamed metric cannot be forgotten here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stablehand_tuner.contracts import metric_names as names

if TYPE_CHECKING:
    from stablehand_tuner.contracts.metric_names import Metric

SELECTED = 'namespace="$namespace",app="$app",pod=~"$pod"'


def _selector(name: str, matchers: dict[str, str]) -> str:
    chosen = [f'{label}{"=~" if "|" in value else "="}"{value}"' for label, value in matchers.items()]
    return f"{name}{{{','.join([SELECTED, *chosen])}}}"


def series(metric: Metric, **matchers: str) -> str:
    """Return the selector of a metric's samples in the chosen pods; a matcher is one value, or several with `|`."""
    return _selector(metric.sample_name, matchers)


def rate(metric: Metric, **matchers: str) -> str:
    """Return the per-second increase of a counter."""
    return f"rate({series(metric, **matchers)}[$__rate_interval])"


def increase(metric: Metric, **matchers: str) -> str:
    """Return by how much a counter grew over one interval of the panel."""
    return f"increase({series(metric, **matchers)}[$__rate_interval])"


def total(expression: str, *by: str) -> str:
    """Return the sum, over everything or by labels."""
    return f"sum by ({', '.join(by)}) ({expression})" if by else f"sum({expression})"


def highest(expression: str, *by: str) -> str:
    """Return the maximum, over everything or by labels."""
    return f"max by ({', '.join(by)}) ({expression})" if by else f"max({expression})"


def quantile(share: float, histogram: Metric) -> str:
    """Return a quantile over all chosen pods: buckets add up, ready-made quantiles would not."""
    buckets = _selector(f"{histogram.name}_bucket", {})
    return f"histogram_quantile({share}, {total(f'rate({buckets}[$__rate_interval])', 'le')})"


REQUESTS = total(rate(names.WORKER_REQUESTS))
"""Requests per second."""

ERROR_SHARE = f"{total(rate(names.WORKER_REQUESTS, code='5xx|error'))} / ({REQUESTS} > 0)"
"""The share (0 to 1) of requests that the app failed, while there are any."""

BUSY_ON_AVERAGE = total(rate(names.WORKER_BUSY_SECONDS))
"""Requests inside the app, averaged over time: seconds inside per second (Little's law)."""

CORES_USED = total(rate(names.WORKER_CPU_SECONDS))
"""Cores that the workers use."""

CORES_GIVEN = total(f"{series(names.CPU_LIMIT_CORES)} or {series(names.CPU_COUNT)}")
"""Cores that the pods may use: the limit, and where there is none, the machine."""

CPU_SHARE = (
    f"clamp_max({CORES_USED} / clamp_min({BUSY_ON_AVERAGE} - {total(rate(names.WORKER_RUN_DELAY_SECONDS))}, 0.001), 1)"
    f" and on() {REQUESTS} > 0"
)
"""How much of a request is computing, by the tuner's formula C / (S - D), each per second instead of per request:
near 1 the app computes, near 0 it waits. Waiting for a core (D) is not the app's own waiting."""

PODS_BY_CLASS = f"count by (worker_class) ({series(names.SETTING_WORKER_CLASS_INFO, kind='active')} == 1)"
"""How many pods run each worker class: more than one class while a change is under way."""

READY_PODS = f"count({total(series(names.WORKERS, state='ready'), 'pod')} > 0)"
"""Pods with at least one worker that can serve."""

BLOCKING_MODULES = f"count(group by (module) ({series(names.BLOCKING_MODULE_INFO)})) or vector(0)"
"""How many loaded modules gevent cannot make cooperative. None is the usual case, hence the zero."""

THROTTLED = f"{total(rate(names.CPU_THROTTLED_SECONDS))} or vector(0)"
"""Seconds per second for which the cgroup was throttled. Without a CPU limit there is no such thing, hence the zero."""

RESTARTS = total(f"resets({series(names.WORKER_REQUESTS, code='2xx', worker='0')}[$__rate_interval])", "pod")
"""Restarts of a server: its counters outlive everything else."""

GENERATION_CHANGED = f"{highest(f'changes({series(names.GENERATION)}[$__rate_interval])', 'pod')} > 0"
"""Present when a pod switched to other settings."""

SETTINGS_REFUSED = f"{total(increase(names.GENERATION_SWITCHES, outcome='rejected|rolled_back'), 'pod', 'outcome')} > 0"
"""Present when a pod refused settings, or rolled them back because the new workers did not start."""


def setting(name: str) -> str:
    """Return a setting's highest value over the chosen pods, desired and active."""
    return highest(series(names.SETTING, name=name), "kind")


def per_worker(expression: str) -> str:
    """Return an expression for each worker of each pod."""
    return total(expression, "pod", "worker")
