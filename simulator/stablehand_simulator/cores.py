"""The cores of a pod's machine: how fast its threads compute, and what the kernel accounts for them.

All runnable threads share the cores equally (processor sharing). Under a CPU limit they run on all of the machine's
cores until the quota of the period is used up, and then none runs until the next period: that is how Linux enforces
`cpu.max`, and why a limited pod is throttled although it looks half idle.

`clock` is the core time that one runnable thread has received since the start. Work is measured by it: a thread that
begins to compute for 10 ms at clock 5 is done at clock 5.01, however many threads share the cores meanwhile.
"""

from __future__ import annotations

import math

PERIOD_SECONDS = 0.1
"""Linux's default period of a CPU limit."""


class Cores:
    """The cores of one pod.

    Args:
        limit: the CPU limit of the pod, in cores; may be a fraction.
        count: the cores of the machine.
    """

    def __init__(self, limit: float, count: int) -> None:
        self.count = count
        self.clock = 0.0
        self.runnable = 0
        self.throttled_seconds = 0.0
        self._quota = limit * PERIOD_SECONDS if limit < count else math.inf
        self._left = self._quota
        self._period = 0
        self._now = 0.0

    @property
    def pace(self) -> float:
        """The share of a core that each runnable thread gets now."""
        if self._left <= 0:
            return 0.0
        return 1.0 if self.runnable <= self.count else self.count / self.runnable

    def until(self, clock: float) -> float:
        """Return the time at which the clock will be there if nothing changes before; infinity while throttled."""
        pace = self.pace
        return self._now + max(0.0, clock - self.clock) / pace if pace else math.inf

    def next_change(self) -> float:
        """Return the time at which the quota changes the pace next; infinity if it does not."""
        if math.isinf(self._quota) or not self.runnable:
            return math.inf
        period_ends = (self._period + 1) * PERIOD_SECONDS
        pace = self.pace
        return min(period_ends, self._now + self._left / (pace * self.runnable)) if pace else period_ends

    def advance(self, now: float) -> None:
        """Let time pass; never beyond `next_change`."""
        seconds, pace = now - self._now, self.pace
        self._now = now
        if self.runnable and seconds > 0:
            self.clock += pace * seconds
            if pace:
                self._left -= pace * self.runnable * seconds
                if self._left < self._quota * 1e-9:
                    self._left = 0.0
            else:
                # the kernel counts each core on which a thread would run
                self.throttled_seconds += seconds * min(self.runnable, self.count)
        period = int(now / PERIOD_SECONDS + 1e-6)
        if period > self._period:
            self._period, self._left = period, self._quota
