"""How the requests in one process share its interpreter.

Threads take the interpreter's lock (the GIL) in turns of some milliseconds: all advance at the same pace, which is
processor sharing. An event loop runs each request until it waits: first come, first served.
Seconds here are core seconds (see `cores`).
"""

from __future__ import annotations

import dataclasses
import heapq
from collections import deque
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from stablehand_simulator.process import Process

SWITCH_SECONDS = 0.005
"""How long a thread keeps the lock while others want it (CPython's `sys.getswitchinterval`)."""


@dataclasses.dataclass(eq=False)
class Request:
    """One request: what it does in total, when it arrived, and how far it is.

    It computes one half, computes without the lock, waits, and computes the other half. `began` is when the app began
    it, `since` when it began to compute without the lock. `holds` is true if it blocks its event loop while it waits,
    `lost` if its process was killed.
    """

    arrived: float
    compute: float
    compute_unlocked: float
    wait: float
    from_client: bool
    process: Process = dataclasses.field(init=False)
    began: float = 0.0
    since: float = 0.0
    is_inside: bool = False
    is_second_half: bool = False
    computes_unlocked: bool = False
    holds: bool = False
    failed: bool = False
    lost: bool = False


class Interpreter(Protocol):
    """The part of a process that runs requests."""

    def add(self, request: Request, seconds: float) -> None:
        """Let a request compute for this many core seconds."""

    def remaining(self) -> float | None:
        """Return the core seconds until the next request is done; None when none computes."""

    def advance(self, seconds: float) -> None:
        """Let the process compute for this many core seconds."""

    def pop(self) -> Request:
        """Return the request that is done."""

    def hold(self, request: Request) -> None:
        """Let the request that was popped keep the interpreter without computing (a call that blocks)."""

    def resume(self, request: Request, seconds: float) -> None:
        """Let the request that keeps the interpreter compute again."""

    def starting(self) -> Request | None:
        """Return the request that computes now, if it had to wait for its turn after it was added."""

    def crowd(self) -> int:
        """Return how many requests compute, or wait for their turn."""

    def lag(self) -> float:
        """Return the core seconds after which a timer that fires now would run."""


class SharedInterpreter:
    """Threads under one lock: all that compute advance at the same pace."""

    def __init__(self) -> None:
        self._virtual = 0.0
        self._sequence = 0
        self._computing: list[tuple[float, int, Request]] = []

    def add(self, request: Request, seconds: float) -> None:
        """Let a request compute for this many core seconds."""
        self._sequence += 1
        heapq.heappush(self._computing, (self._virtual + seconds, self._sequence, request))

    def remaining(self) -> float | None:
        """Return the core seconds until the next request is done; None when none computes."""
        if not self._computing:
            return None
        return max(0.0, self._computing[0][0] - self._virtual) * len(self._computing)

    def advance(self, seconds: float) -> None:
        """Let the process compute for this many core seconds."""
        self._virtual += seconds / len(self._computing)

    def pop(self) -> Request:
        """Return the request that is done."""
        return heapq.heappop(self._computing)[2]

    def hold(self, request: Request) -> None:
        """Do nothing: a thread that blocks in a call has released the lock."""

    def resume(self, request: Request, seconds: float) -> None:
        """Let the request compute again."""
        self.add(request, seconds)

    def starting(self) -> Request | None:
        """Return None: every thread has its turns from the start."""
        return None

    def crowd(self) -> int:
        """Return how many requests compute."""
        return len(self._computing)

    def lag(self) -> float:
        """Return how long the computing threads may keep the lock before the timer's thread gets it."""
        return sum(min(SWITCH_SECONDS, end - self._virtual) for end, _, _ in self._computing)


class EventLoop:
    """One thread for all requests: first come, first served, each until it waits."""

    def __init__(self) -> None:
        self._turns: deque[tuple[Request, float]] = deque()
        self._done = 0.0
        self._held: Request | None = None

    def add(self, request: Request, seconds: float) -> None:
        """Let a request compute for this many core seconds, when its turn comes."""
        self._turns.append((request, seconds))

    def resume(self, request: Request, seconds: float) -> None:
        """Let the request that keeps the loop compute again, before all others."""
        self._held = None
        self._turns.appendleft((request, seconds))

    def remaining(self) -> float | None:
        """Return the core seconds until the next request is done; None when none computes."""
        return max(0.0, self._turns[0][1] - self._done) if self._turns and self._held is None else None

    def advance(self, seconds: float) -> None:
        """Let the process compute for this many core seconds."""
        self._done += seconds

    def pop(self) -> Request:
        """Return the request that is done."""
        self._done = 0.0
        return self._turns.popleft()[0]

    def starting(self) -> Request | None:
        """Return the request whose turn it is."""
        return self._turns[0][0] if self._turns and self._held is None else None

    def hold(self, request: Request) -> None:
        """Let the request that was popped keep the loop without computing."""
        self._held = request

    def crowd(self) -> int:
        """Return how many requests wait for their turn."""
        return len(self._turns)

    def lag(self) -> float:
        """Return how long all requests before the timer compute and block."""
        ahead = sum(seconds for _, seconds in self._turns) - self._done
        ahead += sum(each.wait + each.compute / 2 for each, _ in self._turns if each.holds and not each.is_second_half)
        if self._held is not None:
            ahead += self._held.wait / 2  # on average half of it is over
        return ahead
