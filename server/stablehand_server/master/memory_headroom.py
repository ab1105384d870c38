"""Is there memory for one more process? If not, a switch retires an old worker before its successor boots."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Literal

from stablehand_server.linux import procfs

if TYPE_CHECKING:
    from collections.abc import Collection

    from stablehand_server.linux.cgroup import Cgroup

_MARGIN = 1.2  # a new worker may need a little more than those that serve: caches are refilled, requests differ
_SECONDS_BETWEEN_READINGS = 1.0  # the kernel walks every page of a process for its PSS
_MIB = 1 << 20


def surge(headroom: float | None, worker_bytes: float | None) -> Literal[0, 1]:
    """Return by how many processes a switch may exceed the number of workers.

    Args:
        headroom: bytes that the cgroup still grants; None without a limit.
        worker_bytes: what the largest worker uses; None if unknown.
    """
    if headroom is None or worker_bytes is None:
        return 1
    return 1 if headroom >= _MARGIN * worker_bytes else 0


class MemoryHeadroom:
    """Reads what is left under the cgroup's limit, and remembers when a process was killed during a surge."""

    def __init__(self, cgroup: Cgroup, log: Any) -> None:
        self._cgroup = cgroup
        self._log = log
        self._was_exceeded = False
        self._surge: Literal[0, 1] = 1
        self._next_reading = 0.0
        self._measured: frozenset[int] = frozenset()  # with one more process, the last reading is out of date
        self._said = False

    def surge(self, workers: Collection[int]) -> Literal[0, 1]:
        """Return by how many processes the switch may exceed the number of workers, given their process ids."""
        now = time.monotonic()
        known = frozenset(workers)
        if self._was_exceeded or not known or (now < self._next_reading and known == self._measured):
            return self._surge
        self._next_reading, self._measured = now + _SECONDS_BETWEEN_READINGS, known
        headroom = self._cgroup.memory_headroom_bytes()
        if headroom is not None:
            self._decide(headroom, _largest(workers))
        return self._surge

    def note_exceeded(self) -> bool:
        """Note that the kernel killed a process for lack of memory; return whether old ones did not yet retire first.

        From now on they do, until the switch is complete.
        """
        surged = self._surge == 1
        if surged:
            self._log.warning("The memory does not suffice for a process more: from here on old workers go first")
        self._was_exceeded, self._surge = True, 0
        return surged

    def forget(self) -> None:
        """Forget the kill: the next switch is judged by what is measured then."""
        self._was_exceeded, self._surge, self._next_reading, self._said = False, 1, 0.0, False

    def _decide(self, headroom: float, worker_bytes: float | None) -> None:
        decided = surge(headroom, worker_bytes)
        if not decided and not self._said and worker_bytes is not None:
            self._said = True
            self._log.warning(
                "Only %d MiB are left under the cgroup's limit, and a worker takes %d MiB: an old worker goes before "
                "its successor comes, one at a time",
                headroom / _MIB,
                worker_bytes / _MIB,
            )
        self._surge = decided


def _largest(workers: Collection[int]) -> float | None:
    """Return the memory of the largest worker: with shared pages divided if the kernel reports that."""
    resident = {pid: size for pid in workers if (size := procfs.resident_bytes(pid)) is not None}
    if not resident:
        return None
    largest = max(resident, key=resident.__getitem__)
    return procfs.proportional_bytes(largest) or resident[largest]
