"""The same app, measured by prometheus-client in its multiprocess mode: a counter by status and a histogram.

The labels' children are looked up once, which its documentation recommends where time matters.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from prometheus_client import Counter, Histogram

from stablehand_bench.apps import hello

if TYPE_CHECKING:
    from collections.abc import Callable

# As many buckets as the servers beside it have.
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
_requests = Counter("app_requests", "Finished requests by class of status.", ["code"])
_duration = Histogram("app_request_duration_seconds", "Time inside the app.", buckets=_BUCKETS)
_children = {digit: _requests.labels(f"{digit}xx") for digit in "12345"}


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    """Say hello, and measure it."""
    started = time.perf_counter()
    digit = "5"

    def measured_start_response(status: str, headers: Any, *exc_info: Any) -> Any:
        nonlocal digit
        digit = status[0]
        return start_response(status, headers, *exc_info)

    try:
        return hello.app(environ, measured_start_response)
    finally:
        _duration.observe(time.perf_counter() - started)
        _children[digit].inc()
