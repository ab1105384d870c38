"""An upstream that slows down as more requests are with it at once: some ten are the best, 64 a third of that.

Environment: `STABLEHAND_BENCH_UPSTREAM`, its port.
"""

from __future__ import annotations

from stablehand_bench.apps.hazards import upstream
from stablehand_bench.apps.hazards.page import page

app = page(lambda: upstream.ask("/slowing"))
