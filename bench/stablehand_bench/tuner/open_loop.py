"""An open loop: requests come when they are due, however slow the answers are. Latency counts from that moment.

So a server that falls behind shows it, where a closed loop would only send less. Each request has a connection of its
own. One Python process sends some 1,000 requests a second at most; a request that is sent more than a millisecond after
it was due counts its lateness as latency, as a client would. What is not answered within GRACE_SECONDS after the end
counts neither as answered nor as failed, but its latency until then counts.

`python -m stablehand_bench.tuner.open_loop URL SECONDS SCHEDULE` prints the result as JSON; SIGINT ends it early.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
from typing import Any

from stablehand_bench.tuner.schedule import Schedule
from stablehand_dev.load.connection import ClientConnection
from stablehand_dev.load.generator import Load
from stablehand_dev.load.result import Latencies

GRACE_SECONDS = 5.0
_SUCCESS = range(200, 300)


class OpenLoop:
    """One run; `run` returns what it saw."""

    def __init__(self, url: str, seconds: float, schedule: Schedule) -> None:
        load = Load(url, duration=seconds, keep_alive=False)
        self.request = load.request_bytes()
        self._address = load.address
        self._seconds = seconds
        self._schedule = schedule
        self._clock = asyncio.get_running_loop().time
        self._open: set[ClientConnection] = set()
        self._latencies = Latencies()
        self._answered = self._failed = self._due = 0
        self._first_failure = ""
        self.stop = asyncio.Event()

    # what a connection needs of its run

    def begin(self) -> bool:
        """Refuse: a connection serves one request."""
        return False

    def completed(self, status: int, began: float) -> None:
        """Count an answer to the request that was due at `began`."""
        if status not in _SUCCESS:
            self.failed(f"status_{status}", f"the server answered {status}")
            return
        self._answered += 1
        self._latencies.record(self._clock() - began)

    def failed(self, kind: str, detail: str) -> None:
        """Count a failed request."""
        self._failed += 1
        self._first_failure = self._first_failure or f"{kind}: {detail}"

    async def run(self) -> dict[str, Any]:
        """Send what is due, await the answers, and return the result as JSON."""
        start = self._clock()
        tasks: set[asyncio.Task[None]] = set()
        for due in self._schedule.arrivals(self._seconds):
            if await self._stopped_within(start + due - self._clock()):
                break
            self._due += 1
            task = asyncio.create_task(self._send(start + due))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        seconds = self._clock() - start
        answered = self._answered
        if tasks:
            await asyncio.wait(tasks, timeout=GRACE_SECONDS)
        unanswered = [connection for connection in self._open if connection.began is not None]
        for connection in unanswered:
            assert connection.began is not None  # noqa: S101 (narrows the type)
            self._latencies.record(self._clock() - connection.began)
            connection.drop()
        for task in tasks:
            task.cancel()  # even those that still connect
        if tasks:
            await asyncio.wait(tasks)
        return {
            "requests": answered,
            "seconds": seconds,
            "failed": self._failed,
            "unanswered": len(unanswered),
            "p99_seconds": self._latencies.quantile(0.99) or 0.0,
            "first_failure": self._first_failure,
        }

    async def _stopped_within(self, seconds: float) -> bool:
        if seconds > 0:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self.stop.wait(), seconds)
        elif self._due % 16 == 0:
            await asyncio.sleep(0)  # late: answers are read all the same
        return self.stop.is_set()

    async def _send(self, due: float) -> None:
        connection = ClientConnection(self, due, self._clock)
        self._open.add(connection)
        try:
            await asyncio.get_running_loop().create_connection(lambda: connection, *self._address)
            await connection.closed
        except OSError as error:
            connection.fail("connect", str(error))
        finally:
            self._open.discard(connection)


async def _main(url: str, seconds: float, schedule: Schedule) -> None:
    loop = OpenLoop(url, seconds, schedule)
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, loop.stop.set)
    sys.stdout.write(json.dumps(await loop.run()) + "\n")


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], float(sys.argv[2]), Schedule.from_json(sys.argv[3])))
