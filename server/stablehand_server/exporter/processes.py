"""What /proc tells of the living workers, kept so that no counter falls when a process vanishes in between."""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING

from stablehand_server.exporter import procfs
from stablehand_server.slots import Cell

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from stablehand_server.slots import Record

_SECONDS_BETWEEN_PSS = 5.0
_LARGEST_PSS_SHARE = 0.02  # of one core, for reading the PSS of all workers


class RunDelay:
    """The run delay of a process: the sum over its threads, of which some have ended.

    /proc has it for living threads only, so what was last seen of an ended one is kept.
    """

    def __init__(self) -> None:
        self._threads: dict[int, float] | None = None
        self._ended = 0.0

    def add_up(self, threads: dict[int, float], published: float) -> float:
        """Return the seconds of all threads, never less than before.

        Args:
            threads: seconds by the id of each living thread.
            published: what an exporter before this one published of the process.
        """
        if self._threads is None:
            self._ended = max(0.0, published - sum(threads.values()))
        else:
            for thread, seconds in self._threads.items():
                if threads.get(thread, -1.0) < seconds:  # ended; its id may be another thread's now
                    self._ended += seconds
        self._threads = threads
        return self._ended + sum(threads.values())


@dataclasses.dataclass
class ProcessReading:
    """The last that /proc told of one worker process: CPU seconds and bytes; None where it did not tell."""

    user_seconds: float = 0.0
    system_seconds: float = 0.0
    resident_bytes: int | None = None
    proportional_bytes: int | None = None


class _Process:
    def __init__(self) -> None:
        self.reading = ProcessReading()
        self.run_delay = RunDelay()
        self.next_pss_at = 0.0


class Processes:
    """Reads the worker processes.

    Args:
        parent_pid: whose children the workers are; a process of another parent has a reused id.
        clock: seconds that never go back.
    """

    def __init__(self, parent_pid: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._parent_pid = parent_pid
        self._clock = clock
        self._known: dict[int, _Process] = {}

    def read(self, records: Iterable[Record]) -> dict[int, ProcessReading]:
        """Return by age what is known of each process, and write its run delay into its record."""
        found = [(record, int(record.cells[Cell.PID]), int(record.cells[Cell.AGE])) for record in records]
        self._known = {age: self._known.get(age) or _Process() for _, pid, age in found if pid}
        for record, pid, age in found:
            if pid:
                self._read_process(record, pid, self._known[age])
        return {age: process.reading for age, process in self._known.items()}

    def _read_process(self, record: Record, pid: int, process: _Process) -> None:
        times = procfs.process_times(pid)
        if times is None or times.parent != self._parent_pid:
            return  # gone, though the master has not freed its record yet: the last reading stands
        reading = process.reading
        reading.user_seconds = max(reading.user_seconds, times.user_seconds)
        reading.system_seconds = max(reading.system_seconds, times.system_seconds)
        self._publish_run_delay(record, pid, process)
        reading.resident_bytes = procfs.resident_bytes(pid)
        started = self._clock()
        if started >= process.next_pss_at:
            reading.proportional_bytes = procfs.proportional_bytes(pid)
            ended = self._clock()
            pause = (ended - started) * len(self._known) / _LARGEST_PSS_SHARE
            process.next_pss_at = ended + max(_SECONDS_BETWEEN_PSS, pause)

    @staticmethod
    def _publish_run_delay(record: Record, pid: int, process: _Process) -> None:
        threads = procfs.run_delays(pid)
        if threads is None:
            return
        cells = record.cells
        seconds = process.run_delay.add_up(threads, cells[Cell.RUN_DELAY_SECONDS])
        cells[Cell.RUN_DELAY_SECONDS] = seconds
        # The master may have folded and freed the record meanwhile: nothing must be left in it for the next process.
        if int(cells[Cell.PID]) != pid:
            cells[Cell.RUN_DELAY_SECONDS] = 0.0
