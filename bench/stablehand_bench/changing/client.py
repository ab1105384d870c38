"""An open loop that follows a script, and counts second by second what was due and what was answered in time.

`python -m stablehand_bench.changing.client URL SCRIPT TIMES` runs a script so many times faster, and prints the result
as one line of JSON.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import math
import sys
import time
from typing import TYPE_CHECKING, Any

from stablehand_bench.changing import scripts
from stablehand_bench.tuner.open_loop import OpenLoop
from stablehand_dev.load.generator import Load

if TYPE_CHECKING:
    from stablehand_bench.changing.scripts import Script

_SUCCESS = range(200, 300)


@dataclasses.dataclass
class Request:
    """One request of the script: its bytes, and the loop that counts its answer."""

    loop: ScriptedLoop
    request: bytes

    def begin(self) -> bool:
        """Refuse: a connection serves one request."""
        return False

    def completed(self, status: int, began: float) -> None:
        """Pass an answer on."""
        self.loop.completed(status, began)

    def failed(self, kind: str, detail: str) -> None:
        """Pass a failure on."""
        self.loop.failed(kind, detail)


class ScriptedLoop(OpenLoop):
    """One run of a script."""

    def __init__(self, url: str, script: Script, limit_seconds: float = scripts.LIMIT_SECONDS) -> None:
        super().__init__(url, script.seconds, script)
        self._url = url
        self._script = script
        self._limit = limit_seconds
        self._now = asyncio.get_running_loop().time
        self._bytes: dict[str, bytes] = {}
        self.series = [[0, 0] for _ in range(math.ceil(script.seconds))]

    def asking(self, due: float) -> Request:
        """Return the request of a moment."""
        at = due - self.start
        self._second(at)[0] += 1
        path = self._script.path(at)
        if path not in self._bytes:
            load = Load(f"{self._url}{path}", duration=1.0, keep_alive=False)
            self._bytes[path] = load.request_bytes()
        return Request(self, self._bytes[path])

    def completed(self, status: int, began: float) -> None:
        """Count an answer to the request that was due at `began`."""
        super().completed(status, began)
        if status in _SUCCESS and self._now() - began <= self._limit:
            self._second(began - self.start)[1] += 1

    def _second(self, at: float) -> list[int]:
        return self.series[min(len(self.series) - 1, max(0, int(at)))]


async def _main(url: str, name: str, times: float) -> dict[str, Any]:
    loop = ScriptedLoop(url, scripts.BY_NAME[name].faster(times))
    told = await loop.run()
    return {**told, "series": loop.series, "core_share": time.process_time() / told["seconds"]}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(_main(sys.argv[1], sys.argv[2], float(sys.argv[3])))) + "\n")
