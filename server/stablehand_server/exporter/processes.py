"""What /proc reports about running workers, kept so that no counter decreases when a process ends in between."""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING

from stablehand_server.linux import procfs
from stablehand_server.measure import traits
from stablehand_server.shared_memory import Cell
from stablehand_tuner.contracts import metric_names as names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from stablehand_server.linux.procfs import ProcessTimes
    from stablehand_server.shared_memory import Record

_SECONDS_BETWEEN_PSS = 5.0
_LARGEST_PSS_SHARE = 0.02  # of one core, for refreshing the PSS of all workers
_LARGEST_FIRST_PSS_SHARE = 0.2  # for the first reading of each: clients of the metrics wait for it
_MOST_DESCENDANTS = 256  # of one worker, that a scrape reads
_LONGEST_PSS_IN_SCRAPE = 0.005  # seconds, for processes whose PSS was never read


def _descendants_seconds(pid: int) -> float:
    """Return the CPU seconds of all living descendants of a process, and of those that ended before them."""
    seconds, found, parents = 0.0, {pid}, [pid]
    while parents and len(found) <= _MOST_DESCENDANTS:
        for child in procfs.children(parents.pop()):
            times = procfs.process_times(child) if child not in found else None
            if times is not None:
                found.add(child)
                parents.append(child)
                seconds += times.with_ended_children
    return seconds


class RunDelay:
    """The run delay of a process: the sum over its threads, of which some have ended.

    /proc reports it for running threads only, so the last reading of an ended one is kept.
    """

    def __init__(self) -> None:
        self._threads: dict[int, float] | None = None
        self._ended = 0.0

    def add_up(self, threads: dict[int, float], published: float) -> float:
        """Return the seconds of all threads, never less than before.

        Args:
            threads: seconds by the id of each running thread.
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
    """The last that /proc reported about one worker process: CPU seconds and bytes; None where it is unknown."""

    user_seconds: float = 0.0
    system_seconds: float = 0.0
    resident_bytes: int | None = None
    proportional_bytes: int | None = None


class _Process:
    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.reading = ProcessReading()
        self.run_delay = RunDelay()
        self.next_pss_at: float | None = None  # None: it was never read
        self.shared_bytes = 0  # of the resident memory, what the PSS leaves out, at the last reading of both


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
        """Return by age what is known of each process, and write its run delay into its record.

        The PSS is the resident memory of now without what was shared at the last reading; `read_memory` refreshes
        these, and only new processes are read here, in the few milliseconds that a scrape has for them.
        """
        found = [(record, int(record.cells[Cell.PID]), int(record.cells[Cell.AGE])) for record in records]
        self._known = {age: self._known.get(age) or _Process(pid) for _, pid, age in found if pid}
        for record, pid, age in found:
            if pid:
                self._read_process(record, self._known[age])
        enough = self._clock() + _LONGEST_PSS_IN_SCRAPE
        for process in self._known.values():
            if process.next_pss_at is None and self._clock() < enough:
                self._read_memory_of(process)
        return {age: process.reading for age, process in self._known.items()}

    def read_memory(self) -> float:
        """Read the PSS of the process whose turn it is, if any; return in how many seconds to call this again.

        The kernel walks all pages of the process for it: so at most every 5 s, and 2 % of a core for all, or 20 % for
        those that were never read. Another thread than that of `read` may call it.
        """
        now = self._clock()
        processes = list(self._known.values())
        if not processes:
            return _SECONDS_BETWEEN_PSS
        due = min(processes, key=lambda process: process.next_pss_at or 0.0)
        due_in = (due.next_pss_at or 0.0) - now
        if due_in > 0:
            return min(due_in, _SECONDS_BETWEEN_PSS)
        share = _LARGEST_FIRST_PSS_SHARE if due.next_pss_at is None else _LARGEST_PSS_SHARE
        return self._read_memory_of(due) / share

    def _read_memory_of(self, process: _Process) -> float:
        """Read a process's PSS, and return the seconds that it took."""
        started = self._clock()
        found = procfs.proportional_bytes(process.pid)
        resident = procfs.resident_bytes(process.pid)
        if found is not None and resident is not None:  # else it has ended, and the last reading is kept
            process.shared_bytes = resident - found
            process.reading.proportional_bytes = found
        ended = self._clock()
        process.next_pss_at = ended + _SECONDS_BETWEEN_PSS
        return ended - started

    def _read_process(self, record: Record, process: _Process) -> None:
        times = procfs.process_times(process.pid)
        if times is None or times.parent != self._parent_pid:
            return  # ended, though the master has not freed its record yet: the last reading is kept
        reading = process.reading
        reading.user_seconds = max(reading.user_seconds, times.user_seconds)
        reading.system_seconds = max(reading.system_seconds, times.system_seconds)
        self._publish_run_delay(record, process.pid, process)
        self._publish_children(record, process.pid, times)
        reading.resident_bytes = resident = procfs.resident_bytes(process.pid)
        if reading.proportional_bytes is not None and resident is not None:
            # what a worker's requests hold comes and goes within seconds, and is its own: what it shares stays
            reading.proportional_bytes = max(0, resident - process.shared_bytes)

    @staticmethod
    def _publish_children(record: Record, pid: int, times: ProcessTimes) -> None:
        """Publish what the child processes of a worker have used, which only its app can have started.

        The ended ones were read first: one that ends in between is missing once, and never counted twice.
        """
        cells = record.cells
        seconds = times.ended_children_seconds
        if traits.has(names.APP_RUNS_INFO, "child_processes", int(cells[Cell.TRAITS])):
            seconds += _descendants_seconds(pid)
        if seconds > cells[Cell.CHILDREN_CPU_SECONDS]:
            cells[Cell.CHILDREN_CPU_SECONDS] = seconds
            if int(cells[Cell.PID]) != pid:  # freed meanwhile, as below
                cells[Cell.CHILDREN_CPU_SECONDS] = 0.0

    @staticmethod
    def _publish_run_delay(record: Record, pid: int, process: _Process) -> None:
        threads = procfs.run_delays(pid)
        if threads is None:
            return
        cells = record.cells
        seconds = process.run_delay.add_up(threads, cells[Cell.RUN_DELAY_SECONDS])
        cells[Cell.RUN_DELAY_SECONDS] = seconds
        # The master may have folded and freed the record meanwhile: leave nothing in it for the next process.
        if int(cells[Cell.PID]) != pid:
            cells[Cell.RUN_DELAY_SECONDS] = 0.0
