"""The closed loop: N connections, each with one request under way at any time, for a time or a number of requests."""

from __future__ import annotations

import asyncio
import dataclasses
import socket
import urllib.parse
from typing import TYPE_CHECKING

from stablehand_dev.load.connection import ClientConnection
from stablehand_dev.load.result import FailureExample, LoadResult, Second, summed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

LONGEST_SECONDS = 3600.0
MOST_CONNECTIONS = 4096
_EXAMPLES_KEPT = 20
# After a failure a client waits this long: a dead server costs a bounded number of attempts, not a spinning core.
_PAUSE_AFTER_FAILURE = 0.1


class InvalidLoad(ValueError):  # noqa: N818 (reads as a sentence: "invalid load: ...")
    """A load that cannot be generated; its text names the field at fault."""


@dataclasses.dataclass(frozen=True)
class Load:
    """What to send: GET `url` over `connections`, until `duration` seconds or `requests` are over, whichever is first.

    `timeout` is in seconds and covers one request with its connection's establishment. With `keep_alive` False each
    request asks for `Connection: close`.

    Raises:
        InvalidLoad: when a field is out of bounds, or neither duration nor requests bounds the run.
    """

    url: str
    connections: int = 64
    duration: float | None = None
    requests: int | None = None
    timeout: float = 30.0
    keep_alive: bool = True
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        """Validate every field."""
        parts = urllib.parse.urlsplit(self.url)
        if parts.scheme != "http" or not parts.hostname:
            raise InvalidLoad(f"url is {self.url!r}, but must be http://host[:port]/path")
        if not 1 <= self.connections <= MOST_CONNECTIONS:
            raise InvalidLoad(f"connections is {self.connections}, but must be 1 to {MOST_CONNECTIONS}")
        if self.duration is None and self.requests is None:
            raise InvalidLoad("neither duration nor requests is given: one of them must bound the run")
        if self.duration is not None and not 0 < self.duration <= LONGEST_SECONDS:
            raise InvalidLoad(f"duration is {self.duration}, but must be above 0 and at most {LONGEST_SECONDS:g} s")
        if self.requests is not None and self.requests < 1:
            raise InvalidLoad(f"requests is {self.requests}, but must be 1 or more")
        if self.timeout <= 0:
            raise InvalidLoad(f"timeout is {self.timeout}, but must be above 0 s")
        if any("\n" in text or "\r" in text for header in self.headers.items() for text in header):
            raise InvalidLoad("headers must not hold line breaks")

    @property
    def address(self) -> tuple[str, int]:
        """Host and port to connect to."""
        parts = urllib.parse.urlsplit(self.url)
        return parts.hostname or "", parts.port or 80

    def request_bytes(self) -> bytes:
        """Return the request as it goes over the wire, the same bytes every time."""
        parts = urllib.parse.urlsplit(self.url)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        fields = {"Host": parts.netloc.rpartition("@")[2], "User-Agent": "stablehand-load", "Accept": "*/*"}
        if not self.keep_alive:
            fields["Connection"] = "close"
        lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in {**fields, **self.headers}.items())]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


async def generate(
    load: Load, *, stop: asyncio.Event | None = None, on_second: Callable[[Second], None] | None = None
) -> LoadResult:
    """Run the load and return what it measured.

    When its time is over, or `stop` is set, no further request is sent and those under way are awaited, at most for
    the load's timeout. `on_second` is called once for each second that is over.
    """
    run = _Run(load, asyncio.get_running_loop().time)
    host, port = load.address
    resolved = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    address = (str(resolved[0][4][0]), port)
    watch = asyncio.create_task(_watch(run, stop or asyncio.Event(), on_second))
    clients = [asyncio.create_task(_client(run, address)) for _ in range(load.connections)]
    try:
        await asyncio.gather(*clients)
    finally:
        for task in (watch, *clients):
            task.cancel()
        await asyncio.gather(watch, *clients, return_exceptions=True)
    return run.result()


class _Run:
    """The state that all connections of a run share: its budget and what it has measured so far."""

    def __init__(self, load: Load, clock: Callable[[], float]) -> None:
        self.load = load
        self.request = load.request_bytes()
        self.over = False
        self.open: set[ClientConnection] = set()
        self.clock = clock
        self.start = clock()
        self.connects = 0
        self.seconds: dict[int, Second] = {}
        self._remaining = load.requests
        self._deadline = self.start + (LONGEST_SECONDS if load.duration is None else load.duration)
        self._last = self.start
        self._totals = LoadResult()

    def begin(self) -> bool:
        if self.over or self.clock() >= self._deadline:
            return False
        if self._remaining is not None:
            if self._remaining == 0:
                return False
            self._remaining -= 1
        return True

    def completed(self, status: int, began: float) -> None:
        if not 200 <= status <= 299:  # noqa: PLR2004 (the 2xx of HTTP)
            self.failed(f"status_{status}", f"the server answered {status}")
            return
        now = self.clock()
        self._totals.completed += 1
        second = self._second(now)
        second.completed += 1
        second.latencies.record(now - began)

    def failed(self, kind: str, detail: str) -> None:
        now = self.clock()
        self._totals.failures[kind] += 1
        self._second(now).failed += 1
        if len(self._totals.examples) < _EXAMPLES_KEPT:
            self._totals.examples.append(FailureExample(round(now - self.start, 3), kind, detail))

    def expire(self) -> None:
        """Fail every request that is under way for longer than the load's timeout."""
        oldest = self.clock() - self.load.timeout
        for connection in list(self.open):
            if connection.began is not None and connection.began < oldest:
                connection.fail("timeout", f"no complete answer within {self.load.timeout:g} s")

    def result(self) -> LoadResult:
        # A second in which nothing finished belongs to the series as well: it is the one to look at.
        last = max(self.seconds, default=-1)
        series = [self.seconds.get(at, Second(at)) for at in range(last + 1)]
        return dataclasses.replace(
            summed(series, self._last - self.start),
            failures=self._totals.failures,
            examples=self._totals.examples,
            connects=self.connects,
        )

    def _second(self, now: float) -> Second:
        self._last = now
        at = int(now - self.start)
        second = self.seconds.get(at)
        if second is None:
            second = self.seconds[at] = Second(at)
        return second


async def _client(run: _Run, address: tuple[str, int]) -> None:
    """One client: connects, loops, and connects again whenever the server closes the connection properly."""
    while run.begin():
        connection = ClientConnection(run, run.clock(), run.clock)
        try:
            await asyncio.wait_for(_connect(connection, address), run.load.timeout)
        except asyncio.TimeoutError:
            connection.fail("timeout", "no connection in time")
        except OSError as error:
            connection.fail(_kind(error), str(error))
        else:
            run.connects += 1
            run.open.add(connection)
            try:
                await connection.closed
            finally:
                run.open.discard(connection)
                connection.drop()
        if connection.broken:
            await asyncio.sleep(_PAUSE_AFTER_FAILURE)


async def _connect(connection: ClientConnection, address: tuple[str, int]) -> None:
    await asyncio.get_running_loop().create_connection(lambda: connection, *address)


async def _watch(run: _Run, stop: asyncio.Event, on_second: Callable[[Second], None] | None) -> None:
    """Expire what takes too long, pass the stop on, and report each second that is over."""
    reported = 0
    interval = min(0.1, run.load.timeout / 4)
    while True:
        run.expire()
        run.over = run.over or stop.is_set()
        now = int(run.clock() - run.start)
        while on_second is not None and reported < now:
            on_second(run.seconds.get(reported, Second(reported)))
            reported += 1
        await asyncio.sleep(interval)


def _kind(error: OSError) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "refused"
    return "reset" if isinstance(error, ConnectionResetError) else "unreachable"
