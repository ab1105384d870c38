from __future__ import annotations

import threading

import pytest

from stablehand_server.exporter import reading
from stablehand_server.shared_memory import COUNTERS, Cell, Server, State


def test_a_reading_never_sees_a_counter_twice_or_not_at_all_while_workers_come_and_go(slots):
    place = COUNTERS.index(Cell.REQUESTS)
    stop = threading.Event()
    ended = 0

    def come_and_go() -> None:
        nonlocal ended
        while not stop.is_set():
            record = slots.allocate(index=0, age=ended, worker_class=0, slots=1)
            record.cells[Cell.REQUESTS] = 1.0
            slots.release(record)
            ended += 1

    master = threading.Thread(target=come_and_go)
    master.start()
    try:
        seen = [0.0]
        for _ in range(30):
            least = ended
            found = reading.read(slots)
            total = found.totals.get(0, [0.0] * len(COUNTERS))[place]
            total += sum(cells[Cell.REQUESTS] for cells in found.records)
            assert least <= total <= ended + 1
            seen.append(total)
    finally:
        stop.set()
        master.join()

    assert seen == sorted(seen)


def test_a_master_that_stops_in_the_middle_of_a_fold_is_an_error_and_no_wrong_number(slots, monkeypatch):
    monkeypatch.setattr(reading, "_LONGEST_WAIT_SECONDS", 0.01)
    slots.server[Server.SEQUENCE] = 1

    with pytest.raises(reading.MappingBusy, match="does not respond"):
        reading.read(slots)


def test_only_records_of_living_processes_are_read(slots):
    record = slots.allocate(index=3, age=1, worker_class=0, slots=1)
    record.cells[Cell.STATE] = State.READY

    assert [cells[Cell.INDEX] for cells in reading.read(slots).records] == [3]
    slots.release(record)
    assert reading.read(slots).records == []
