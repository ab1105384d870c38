"""An upstream that serves 12 requests at once, over all processes, and answers 429 beyond; the app passes that on.

Environment: `STABLEHAND_BENCH_UPSTREAM`, its port.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stablehand_bench.apps.hazards import upstream
from stablehand_bench.apps.hazards.page import READY, answer, greeting, user

if TYPE_CHECKING:
    from stablehand_bench.apps.hazards.page import StartResponse


def app(environ: dict[str, Any], start_response: StartResponse) -> list[bytes]:
    """Ask the upstream."""
    if environ["PATH_INFO"] != READY and (status := upstream.ask("/limited")) != 200:  # noqa: PLR2004 (HTTP's OK)
        return answer(start_response, "try again later\n", status)
    return answer(start_response, greeting(user(environ)))
