"""The shared mapping, through which the master, its workers and the exporter exchange data without locks.

The master creates one anonymous mapping before it forks anything, so every process of the server sees the same memory,
and it is freed with the server. It holds 8-byte floats (integers are exact up to 2**53), each of which has exactly one
writer:

- the server's cells (`Server`): the master, and once each the throwaway child that probes the worker classes and a
  worker that wants the metrics' port;
- the totals of each worker index (the counters of `Cell`): the master;
- a record for each worker process (`Cell`): the master writes its identity, the worker what it does, and the exporter
  what it reads about it in /proc.

A worker index 0..N-1 outlives its processes: when one ends, the master folds the counters of its record into the totals
of its index. While a worker retires, which may take as long as its longest request, its successors have the same index
and records of their own. The fold happens between two increments of `Server.SEQUENCE` (a seqlock): a reader that saw it
change reads again, so no counter is ever seen twice or not at all.
"""

from __future__ import annotations

import enum
import mmap
from typing import TYPE_CHECKING

from stablehand_tuner.contracts.metric_names import (
    BODY_BUCKETS,
    DURATION_BUCKETS,
    EXIT_REASONS,
    NOTED_STATUSES,
    POOL_LIBRARIES,
    STATUS_CODES,
    SWITCH_OUTCOMES,
    TRIAL_OUTCOMES,
    TRIAL_STATES,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_BYTES_PER_CELL = 8
INDEXES = 1024  # worker indexes that have totals: twice what Settings allow, since flags may ask for more
RECORDS = 4 * INDEXES  # living processes: every worker, its successor, and as many that finish long requests
_TEXT_BYTES = 512  # the last line of a failed boot

BUCKETS = len(DURATION_BUCKETS) + 1  # the last one has no upper bound
SIZES = len(BODY_BUCKETS) + 1
CLIENT_BITS = 48  # a float holds as many exactly


class State(enum.IntEnum):
    """The state of a worker's lifecycle, as its record has it; FREE records belong to no process."""

    FREE = 0
    BOOTING = 1  # forked, no heartbeat yet: it serves nothing
    READY = 2
    RETIRING = 3  # told to finish its requests and exit


class Overdue(enum.IntEnum):
    """What a worker reports about requests that have been inside the app for longer than --request-timeout."""

    NONE = 0
    SOME = 1  # it is to be replaced, and serves until its successor is ready
    ONLY = 2  # it retires, and nothing else is left: it is to be ended


class Server(enum.IntEnum):
    """The server's own cells, from the start of the mapping."""

    SEQUENCE = 0
    STOPPING = 1
    GENERATION = 2
    WORKERS = 3
    BACKLOG = 4
    BACKLOG_LIMIT = 5
    RETIRE_LIMIT = 6
    AVAILABLE_CLASSES = 7  # bitmap over WorkerClass
    EXCLUDED_CLASSES = 8  # the same: those to which a switch would be refused
    DESIRED = 9  # class, workers, threads, worker_connections
    ACTIVE = DESIRED + 4
    REFUSED = ACTIVE + 4  # 1 while the newest settings are refused, or were rolled back
    YIELDING_PORT = REFUSED + 1  # the metrics' default port; 0: no port has to give way
    PORT_WANTED = YIELDING_PORT + 1  # a worker writes 1: its app wants that port, and waits; the master writes 0
    TRIAL_ID = PORT_WANTED + 1  # 0 before the first trial
    TRIAL_STATE = TRIAL_ID + 1  # place in TRIAL_STATES, counted from 1
    SWITCHES = TRIAL_STATE + 1
    EXITS = SWITCHES + len(SWITCH_OUTCOMES)
    TRIALS = EXITS + len(EXIT_REASONS)
    END = TRIALS + len(TRIAL_OUTCOMES)


class Cell(enum.IntEnum):
    """The cells of one worker's record; from REQUESTS on they are counters, which the totals of an index have too."""

    # written by the master: its identity, and how much it should serve
    STATE = 0
    PID = 1
    INDEX = 2
    AGE = 3  # grows with every spawned worker: the newest of an index represents it
    WORKER_CLASS = 4  # place in WorkerClass, or -1 for a class of the user's own
    THREADS = 5  # wanted: the worker adopts them without a new process where its class can
    WORKER_CONNECTIONS = 6
    SHARE = 7  # of all connections, above which the worker gives some up; 0 while they are spread evenly
    RETIRE_BY = 8  # 0 until it is told to retire; then the moment (time.monotonic()), infinity for no limit
    # written by the worker: what it does
    SLOTS = 9  # set by the master until the worker sets it
    BUSY = 10
    CONNECTIONS = 11
    LAG_SECONDS = 12
    BLOCKING_MODULES = 13  # bitmap over blocking_modules.MODULES
    REACHED_MAX_REQUESTS = 14
    RETIRES = 15  # 1 as soon as it accepts no more, told by the master or not
    OLDEST_REQUEST_SINCE = 16  # time.monotonic() of the oldest request inside the app; meaningless while there is none
    OLD_REQUESTS = 17  # how many requests inside the app started before that
    REQUESTS_UNKNOWN = 18  # 1 if the class serves them with its own code, which does not count them
    OVERDUE = 19  # of Overdue
    # the master says, for workers whose app has taken SIGTERM over
    TOLD_TO_RETIRE = 20
    # the master: what the worker runs is on trial; its guard has ended that: when it retires, nothing is awaited
    ON_TRIAL = 21
    CLOSES_AT_ONCE = 22
    # the worker: time.monotonic() of the last tick of its event loop's timer; 0 without one
    TICKED_AT = 23
    # during a trial: the kinds of answers that are unusual, a bitmap by the master, and the clients that got any, a
    # bitmap of CLIENT_BITS hashes by the worker
    UNUSUAL = 24
    CLIENTS = 25
    # the worker: what it has found out about the app, see measure/traits.py
    TRAITS = 26
    # the worker: what its ended child processes have used, which the kernel adds to what the worker itself has used
    CHILDREN_USER_SECONDS = 27
    CHILDREN_SYSTEM_SECONDS = 28
    # the worker: size (0: none), connections in use and waiting requests of the app's pools, by library
    POOLS = 29
    # counters: the worker's
    REQUESTS = POOLS + 3 * len(POOL_LIBRARIES)
    NOTED = REQUESTS + len(STATUS_CODES)  # in the order of NOTED_STATUSES, besides their class
    BODY_BUCKETS = NOTED + len(NOTED_STATUSES)
    BODY_BYTES = BODY_BUCKETS + SIZES
    DURATION_BUCKETS = BODY_BYTES + 1
    DURATION_SECONDS = DURATION_BUCKETS + BUCKETS  # also the busy seconds: both are the time inside the app
    QUEUE_BUCKETS = DURATION_SECONDS + 1
    QUEUE_SECONDS = QUEUE_BUCKETS + BUCKETS
    # counters: the exporter's, from /proc
    RUN_DELAY_SECONDS = QUEUE_SECONDS + 1
    CHILDREN_CPU_SECONDS = RUN_DELAY_SECONDS + 1
    # counters: the master's, when the process has ended (zero until then)
    CPU_USER_SECONDS = CHILDREN_CPU_SECONDS + 1
    CPU_SYSTEM_SECONDS = CPU_USER_SECONDS + 1
    END = CPU_SYSTEM_SECONDS + 1


COUNTERS = range(Cell.REQUESTS, Cell.END)
_SECONDS = {
    Cell.DURATION_SECONDS,
    Cell.QUEUE_SECONDS,
    Cell.RUN_DELAY_SECONDS,
    Cell.CHILDREN_CPU_SECONDS,
    Cell.CPU_USER_SECONDS,
    Cell.CPU_SYSTEM_SECONDS,
}
_ROUNDING_SECONDS = 1e-6  # more than the sum of fractions may come out too small

_TOTALS_START = int(Server.END)
_RECORDS_START = _TOTALS_START + INDEXES * len(COUNTERS)
_CELLS = _RECORDS_START + RECORDS * Cell.END
_TEXTS_START = _CELLS * _BYTES_PER_CELL


class Record:
    """One worker process's cells, as a view into the mapping, and the text of its failed boot."""

    def __init__(self, cells: memoryview[float], text: memoryview) -> None:
        self.cells = cells
        self._text = text

    def detach(self) -> memoryview[float]:
        """Make this object a copy of what it was a view of, and return its cells: what is written reaches nobody."""
        self.cells = memoryview(bytearray(self.cells)).cast("d")
        self._text = memoryview(bytearray(self._text))
        return self.cells

    @property
    def failure(self) -> str:
        """The last line of the failed boot, empty while there is none."""
        return bytes(self._text).rstrip(b"\0").decode(errors="replace")

    @failure.setter
    def failure(self, line: str) -> None:
        encoded = line.encode(errors="replace")[:_TEXT_BYTES]
        # The end of a multi-byte character that the cut went through would not decode.
        encoded = encoded.decode(errors="ignore").encode()
        self._text[:] = encoded.ljust(_TEXT_BYTES, b"\0")


class Slots:
    """The mapping, which the master creates and every child inherits."""

    def __init__(self) -> None:
        self._mapping = mmap.mmap(-1, _TEXTS_START + RECORDS * _TEXT_BYTES)
        self._bytes = memoryview(self._mapping)
        self._cells = self._bytes[:_TEXTS_START].cast("d")
        self.server = self._cells[: Server.END]
        self._next_record = 0

    def totals(self, index: int) -> memoryview[float]:
        """Return the counters of a worker index, in the order of COUNTERS."""
        start = _TOTALS_START + index * len(COUNTERS)
        return self._cells[start : start + len(COUNTERS)]

    def record(self, number: int) -> Record:
        """Return a record by its number."""
        start = _RECORDS_START + number * Cell.END
        text = _TEXTS_START + number * _TEXT_BYTES
        return Record(self._cells[start : start + Cell.END], self._bytes[text : text + _TEXT_BYTES])

    def all_totals(self) -> dict[int, list[float]]:
        """Return the counters of each worker index that has any, in the order of COUNTERS."""
        # One copy of all bytes, and a look at those that are not zero: far less than a thousand views.
        copied = self._cells[_TOTALS_START:_RECORDS_START].tobytes()
        width = len(COUNTERS) * _BYTES_PER_CELL
        nothing = bytes(width)
        rows = (copied[start : start + width] for start in range(0, len(copied), width))
        return {index: list(memoryview(row).cast("d")) for index, row in enumerate(rows) if row != nothing}

    def living(self) -> Iterator[Record]:
        """Yield the records that belong to a process."""
        states = self._cells[_RECORDS_START + Cell.STATE : _CELLS : Cell.END].tolist()
        for number, state in enumerate(states):
            if state != State.FREE:
                yield self.record(number)

    def allocate(
        self, *, index: int, age: int, worker_class: int, slots: int, threads: int = 1, worker_connections: int = 1
    ) -> Record:
        """Take a free record for a worker that is about to be forked (master only).

        Records are taken in turn, so that a late write of the exporter never reaches a new process.

        Raises:
            RuntimeError: when every record is taken.
        """
        for offset in range(RECORDS):
            number = (self._next_record + offset) % RECORDS
            record = self.record(number)
            if record.cells[Cell.STATE] == State.FREE:
                break
        else:
            raise RuntimeError(f"more than {RECORDS} worker processes at once")
        self._next_record = number + 1
        record.cells[Cell.INDEX] = index
        record.cells[Cell.AGE] = age
        record.cells[Cell.WORKER_CLASS] = worker_class
        record.cells[Cell.THREADS] = threads
        record.cells[Cell.WORKER_CONNECTIONS] = worker_connections
        record.cells[Cell.SLOTS] = slots
        record.cells[Cell.STATE] = State.BOOTING
        return record

    def move(self, record: Record, index: int, *, cpu_user: float = 0.0, cpu_system: float = 0.0) -> None:
        """Let a living process count for another index from now on (master only).

        What it has counted until now stays with its former index: no counter of either falls or jumps. The process goes
        on with its counters, so the totals of the new index are lowered by as much; they may be negative then, but not
        together with the process's. `cpu_user` and `cpu_system` are the seconds that it has used so far.
        """
        cells = record.cells
        former, new = self.totals(int(cells[Cell.INDEX])), self.totals(index)
        used: dict[int, float] = {Cell.CPU_USER_SECONDS: cpu_user, Cell.CPU_SYSTEM_SECONDS: cpu_system}
        self.server[Server.SEQUENCE] += 1
        for place, cell in enumerate(COUNTERS):
            counted = cells[cell] + used.get(cell, 0.0)
            rounding = _ROUNDING_SECONDS if counted and cell in _SECONDS else 0.0  # zero may mean: not counted
            former[place] += counted + rounding
            new[place] -= counted - rounding
        cells[Cell.INDEX] = index
        self.server[Server.SEQUENCE] += 1

    def release(self, record: Record, *, cpu_user: float = 0.0, cpu_system: float = 0.0) -> None:
        """Fold an ended process's counters into the totals of its index, and free its record (master only).

        `cpu_user` and `cpu_system` are the seconds that it has used, with those of its ended child processes.
        """
        cells = record.cells
        totals = self.totals(int(cells[Cell.INDEX]))
        self.server[Server.SEQUENCE] += 1
        children = (cells[Cell.CHILDREN_USER_SECONDS], cells[Cell.CHILDREN_SYSTEM_SECONDS])
        cells[Cell.CHILDREN_CPU_SECONDS] = max(sum(children), cells[Cell.CHILDREN_CPU_SECONDS])
        cells[Cell.CPU_USER_SECONDS] += max(0.0, cpu_user - children[0])
        cells[Cell.CPU_SYSTEM_SECONDS] += max(0.0, cpu_system - children[1])
        for place, cell in enumerate(COUNTERS):
            totals[place] += cells[cell]
        for cell in range(Cell.END):
            cells[cell] = 0.0
        record.failure = ""
        self.server[Server.SEQUENCE] += 1

    def count_switch(self, outcome: str) -> None:
        """Count a change of settings (master only); the outcome is one of SWITCH_OUTCOMES."""
        self.server[Server.SWITCHES + SWITCH_OUTCOMES.index(outcome)] += 1

    def count_exit(self, reason: str) -> None:
        """Count a worker's end (master only); the reason is one of EXIT_REASONS."""
        self.server[Server.EXITS + EXIT_REASONS.index(reason)] += 1

    def note_trial(self, state: str) -> None:
        """Publish the state of the trial (master only), one of TRIAL_STATES; an outcome is counted too."""
        self.server[Server.TRIAL_STATE] = 1.0 + TRIAL_STATES.index(state)
        if state in TRIAL_OUTCOMES:
            self.server[Server.TRIALS + TRIAL_OUTCOMES.index(state)] += 1

    def write_server(self, start: Server, values: Sequence[float]) -> None:
        """Write neighbouring cells of the server (master only)."""
        for place, value in enumerate(values):
            self.server[start + place] = value
