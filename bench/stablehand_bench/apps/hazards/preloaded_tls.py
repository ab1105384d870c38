"""With --preload the master imports ssl before gevent patches it, and one request in 400 opens a TLS connection.

What HTTP clients do for it (they import `SSLContext` by name, and set its lowest version) then recurses without an end.
"""

from __future__ import annotations

import random
import time
from ssl import PROTOCOL_TLS_CLIENT, SSLContext, TLSVersion

from stablehand_bench.apps.hazards.page import page

_SHARE = 1 / 400


def _work() -> None:
    if random.random() < _SHARE:  # noqa: S311 (no secret)
        context = SSLContext(PROTOCOL_TLS_CLIENT)
        context.minimum_version = TLSVersion.TLSv1_2
    time.sleep(0.02)


app = page(_work)
