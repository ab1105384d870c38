"""The app of the bench with a load that changes: each path is another kind of request, and all greet their user.

| path | a request |
|---|---|
| `/wait/MS` | waits, as for a database |
| `/multiply` | multiplies matrices with numpy, which has threads of its own |
| `/upstream` | asks an upstream that slows as more ask at once |

Environment: `STABLEHAND_BENCH_UPSTREAM`, the upstream's port.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from stablehand_bench.apps.hazards import linear_algebra, slowing_upstream
from stablehand_bench.apps.hazards.page import READY, answer, greeting, user

if TYPE_CHECKING:
    from stablehand_bench.apps.hazards.page import StartResponse

_APPS = {"/multiply": linear_algebra.app, "/upstream": slowing_upstream.app}


def app(environ: dict[str, Any], start_response: StartResponse) -> list[bytes]:
    """Do what the path says."""
    path = environ["PATH_INFO"]
    if path in _APPS:
        return _APPS[path](environ, start_response)
    if path != READY:
        time.sleep(float(path.removeprefix("/wait/")) / 1000)
    return answer(start_response, greeting(user(environ)))
