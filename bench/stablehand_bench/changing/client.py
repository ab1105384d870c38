"""Clients that follow a script, and count second by second what was answered, and what of that in time.

`python -m stablehand_bench.changing.client URL SCRIPT TIMES` runs a script so many times faster, and prints the result
as one line of JSON.
"""

from __future__ import annotations

import json
import math
import sys
import time
from typing import TYPE_CHECKING, Any

from stablehand_bench.changing import scripts
from stablehand_bench.hazards.client import Client

if TYPE_CHECKING:
    from stablehand_bench.changing.scripts import Script


class ScriptedClient(Client):
    """One run of a script; `series` has for each second how many requests were answered, and how many in time."""

    def __init__(self, url: str, script: Script) -> None:
        super().__init__(url, scripts.MOST_CLIENTS, logins=False)
        self._script = script
        self.series = [[0, 0] for _ in range(math.ceil(script.seconds))]

    def wanted(self, at: float) -> int:
        """Return how many clients the script has at a moment."""
        return self._script.at(at)[1]

    def path(self, at: float) -> bytes:
        """Return what the script asks for at a moment."""
        return self._script.at(at)[0].encode()

    def served(self, at: float, latency: float) -> None:
        """Count an answer as it should be."""
        second = self.series[min(len(self.series) - 1, int(at))]
        second[0] += 1
        second[1] += latency <= scripts.LIMIT_SECONDS


def run(url: str, script: Script) -> dict[str, Any]:
    """Run a script, and return what was seen."""
    client = ScriptedClient(url, script)
    result = client.run(script.seconds)
    return {
        "seconds": script.seconds,
        "failures": dict(result.failures),
        "p99_seconds": result.p99 or 0.0,
        "series": client.series,
        "core_share": time.process_time() / script.seconds,
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(run(sys.argv[1], scripts.BY_NAME[sys.argv[2]].faster(float(sys.argv[3])))) + "\n")
