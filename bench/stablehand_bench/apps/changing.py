"""The app of the bench with a load that changes: the paths of `workload.py`, and two kinds that suffer from many slots.

| path | a request |
|---|---|
| `/multiply` | multiplies matrices with numpy, which has threads of its own |
| `/upstream` | asks an upstream that slows as more ask at once |

Environment: `STABLEHAND_BENCH_UPSTREAM`, the upstream's port.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stablehand_bench.apps import workload
from stablehand_bench.apps.hazards import linear_algebra, slowing_upstream

if TYPE_CHECKING:
    from collections.abc import Callable

_APPS = {"/multiply": linear_algebra.app, "/upstream": slowing_upstream.app}


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    """Do what the path says."""
    return _APPS.get(environ["PATH_INFO"], workload.app)(environ, start_response)
