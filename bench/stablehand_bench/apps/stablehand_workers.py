"""Forked workers with Stablehand's mapping, and its exporter: what a scrape meets, without an app and its boot time.

Arguments: the port of /metrics, how many workers live, and how many lived before them.
"""

from __future__ import annotations

import functools
import os
import signal
import socket
import sys

from stablehand_bench.apps import forks
from stablehand_server.exporter import main as exporter
from stablehand_server.measure.recorder import UnlockedRecorder
from stablehand_server.shared_memory import Cell, Record, Server, Slots, State
from stablehand_tuner.contracts.settings import WorkerClass


def main() -> None:
    """Let workers come and go, then export until SIGINT."""
    port, living, gone = map(int, sys.argv[1:])
    slots = Slots()
    sync = list(WorkerClass).index(WorkerClass.SYNC)
    for start in (Server.DESIRED, Server.ACTIVE):
        slots.write_server(start, [sync, living, 1, 1000])
    slots.server[Server.WORKERS] = living

    def record(age: int) -> Record:
        return slots.allocate(index=age % living, age=age, worker_class=sync, slots=1)

    for age in range(gone):
        each = record(age)
        _, _, usage = os.wait4(forks.fork(functools.partial(_serve, each)), 0)
        slots.release(each, cpu_user=usage.ru_utime, cpu_system=usage.ru_stime)
    for age in range(gone, gone + living):
        each = record(age)
        each.cells[Cell.PID] = forks.fork(functools.partial(_serve_and_stay, each))
        each.cells[Cell.STATE] = State.READY
    master = os.getpid()
    listener = socket.create_server(("127.0.0.1", port), backlog=64)
    forks.fork(lambda: exporter.run(slots, listener, master))
    forks.until_interrupted()


def _serve(record: Record) -> None:
    recorder = UnlockedRecorder(record.cells)
    recorder.enter(0.001)
    recorder.leave(0.02, 1)


def _serve_and_stay(record: Record) -> None:
    _serve(record)
    signal.pause()


if __name__ == "__main__":
    main()
