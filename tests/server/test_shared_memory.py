from __future__ import annotations

import sys
import threading
import time

import pytest

from stablehand_server.measure.recorder import RequestRecorder
from stablehand_server.shared_memory import COUNTERS, RECORDS, Cell, Server, Slots, State
from stablehand_tuner.contracts.metric_names import EXIT_REASONS, STATUS_CODES, SWITCH_OUTCOMES, TRIAL_OUTCOMES

OK = STATUS_CODES.index("2xx")


@pytest.fixture
def slots():
    return Slots()


def allocate(slots, index=0, age=1):
    return slots.allocate(index=index, age=age, worker_class=0, slots=1)


def total(slots, index, cell):
    return slots.totals(index)[cell - COUNTERS.start]


def test_a_new_record_says_who_it_is_and_that_it_boots(slots):
    cells = slots.allocate(index=3, age=7, worker_class=1, slots=8).cells

    assert (cells[Cell.INDEX], cells[Cell.AGE], cells[Cell.WORKER_CLASS], cells[Cell.SLOTS]) == (3, 7, 1, 8)
    assert cells[Cell.STATE] == State.BOOTING


def test_what_is_written_into_a_detached_record_reaches_nobody(slots):
    record = allocate(slots, index=3)
    record.detach()[Cell.RETIRES] = 1.0
    record.failure = "a child's own"

    (living,) = slots.living()
    assert (living.cells[Cell.RETIRES], living.failure) == (0.0, "")
    assert (record.cells[Cell.INDEX], record.cells[Cell.RETIRES], record.failure) == (3, 1.0, "a child's own")


def test_the_counters_of_an_ended_process_go_over_to_its_index(slots):
    for age in (1, 2):
        record = allocate(slots, index=5, age=age)
        RequestRecorder(record.cells).enter(0.2)
        RequestRecorder(record.cells).leave(1.5, OK)
        slots.release(record, cpu_user=2.0, cpu_system=0.5)

    assert total(slots, 5, Cell.REQUESTS + OK) == 2
    assert total(slots, 5, Cell.DURATION_SECONDS) == 3.0
    assert total(slots, 5, Cell.QUEUE_SECONDS) == pytest.approx(0.4)
    assert total(slots, 5, Cell.CPU_USER_SECONDS) == 4.0
    assert total(slots, 5, Cell.CPU_SYSTEM_SECONDS) == 1.0
    assert not any(slots.totals(4))
    assert not any(slots.totals(6))


def test_what_ended_children_have_used_is_not_their_workers(slots):
    record = allocate(slots, index=5)
    record.cells[Cell.CHILDREN_USER_SECONDS], record.cells[Cell.CHILDREN_SYSTEM_SECONDS] = 3.0, 0.5
    record.cells[Cell.CHILDREN_CPU_SECONDS] = 2.0  # the exporter has not seen the last ones
    slots.release(record, cpu_user=4.0, cpu_system=0.75)

    assert total(slots, 5, Cell.CHILDREN_CPU_SECONDS) == 3.5
    assert total(slots, 5, Cell.CPU_USER_SECONDS) == 1.0
    assert total(slots, 5, Cell.CPU_SYSTEM_SECONDS) == 0.25


def test_a_process_that_takes_over_another_index_leaves_there_what_it_has_counted(slots):
    record = allocate(slots, index=5, age=1)

    def shown(index, cell, used=0.0):
        living = record.cells[cell] + used if record.cells[Cell.INDEX] == index else 0.0
        return total(slots, index, cell) + living

    for seconds in (0.1, 0.2, 0.3):
        RequestRecorder(record.cells).enter(seconds)
        RequestRecorder(record.cells).leave(seconds, OK)
    ended = allocate(slots, index=1, age=2)
    RequestRecorder(ended.cells).enter(0.7)
    RequestRecorder(ended.cells).leave(0.7, OK)
    slots.release(ended, cpu_user=4.0)
    cells = (Cell.DURATION_SECONDS, Cell.QUEUE_SECONDS)
    before = {(index, cell): shown(index, cell) for index in (1, 5) for cell in cells}
    sequence = slots.server[Server.SEQUENCE]
    slots.move(record, 1, cpu_user=2.0)

    assert slots.server[Server.SEQUENCE] == sequence + 2
    assert (shown(5, Cell.REQUESTS + OK), shown(1, Cell.REQUESTS + OK)) == (3, 1)
    for (index, cell), seconds in before.items():
        assert seconds <= shown(index, cell) <= seconds + 1e-5  # a counter never falls, not by a rounding either
    assert shown(5, Cell.CPU_USER_SECONDS) == pytest.approx(2.0, abs=1e-5)
    assert shown(1, Cell.CPU_USER_SECONDS, used=2.0) == pytest.approx(4.0, abs=1e-5)
    RequestRecorder(record.cells).enter(0.1)
    RequestRecorder(record.cells).leave(0.1, OK)
    assert (shown(5, Cell.REQUESTS + OK), shown(1, Cell.REQUESTS + OK)) == (3, 2)
    slots.release(record, cpu_user=3.0)
    assert (total(slots, 5, Cell.REQUESTS + OK), total(slots, 1, Cell.REQUESTS + OK)) == (3, 2)
    assert total(slots, 1, Cell.CPU_USER_SECONDS) == pytest.approx(5.0, abs=1e-5)


def test_what_a_process_has_never_counted_stays_zero_when_it_takes_over_another_index(slots):
    slots.move(allocate(slots, index=5), 1)

    assert not any(slots.totals(5))
    assert not any(slots.totals(1))


def test_gauges_end_with_their_process(slots):
    record = allocate(slots)
    record.cells[Cell.BUSY] = 3
    record.cells[Cell.CONNECTIONS] = 9
    slots.release(record)

    assert not any(record.cells)
    assert not any(slots.totals(0))


def test_a_fold_is_framed_by_two_steps_of_the_sequence(slots):
    before = slots.server[Server.SEQUENCE]
    slots.release(allocate(slots))

    assert slots.server[Server.SEQUENCE] == before + 2
    assert slots.server[Server.SEQUENCE] % 2 == 0


def test_only_living_records_are_read(slots):
    first, second = allocate(slots, age=1), allocate(slots, index=1, age=2)
    slots.release(first)

    assert [record.cells[Cell.AGE] for record in slots.living()] == [second.cells[Cell.AGE]]


def test_records_are_taken_in_turn_and_used_again(slots):
    survivor = allocate(slots, index=1, age=1)
    for age in range(2, 2 * RECORDS):
        slots.release(allocate(slots, age=age))

    assert [record.cells[Cell.AGE] for record in slots.living()] == [1]
    assert survivor.cells[Cell.INDEX] == 1


def test_a_record_that_was_just_released_is_not_taken_next(slots):
    first = allocate(slots, age=1)
    slots.release(first)
    allocate(slots, age=2)

    assert not any(first.cells)


def test_more_processes_than_records_are_refused(slots):
    for age in range(RECORDS):
        allocate(slots, age=age)

    with pytest.raises(RuntimeError, match="worker processes"):
        allocate(slots)


def test_many_threads_lose_no_update(slots):
    record = allocate(slots)
    recorder = RequestRecorder(record.cells)
    threads, requests = 64, 300

    def serve():
        for _ in range(requests):
            recorder.enter(0.5)
            recorder.leave(0.25, OK)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        crowd = [threading.Thread(target=serve) for _ in range(threads)]
        for thread in crowd:
            thread.start()
        for thread in crowd:
            thread.join()
    finally:
        sys.setswitchinterval(interval)

    cells, served = record.cells, threads * requests
    assert cells[Cell.BUSY] == 0
    assert cells[Cell.REQUESTS + OK] == served
    assert cells[Cell.DURATION_SECONDS] == served * 0.25
    assert cells[Cell.QUEUE_SECONDS] == served * 0.5
    assert sum(cells[Cell.DURATION_BUCKETS : Cell.DURATION_SECONDS]) == served
    assert sum(cells[Cell.QUEUE_BUCKETS : Cell.QUEUE_SECONDS]) == served


class Interrupted:
    """Cells that let other threads run between the read and the write of an update, where that is rarest."""

    def __init__(self, cells):
        self.cells = cells

    def __getitem__(self, place):
        value = self.cells[place]
        time.sleep(0.0)
        return value

    def __setitem__(self, place, value):
        self.cells[place] = value


def test_an_update_that_other_threads_interrupt_is_not_lost(slots):
    record = allocate(slots)
    recorder = RequestRecorder(Interrupted(record.cells))

    def serve():
        for _ in range(50):
            recorder.enter(0.5)
            recorder.leave(0.25, OK)

    crowd = [threading.Thread(target=serve) for _ in range(8)]
    for thread in crowd:
        thread.start()
    for thread in crowd:
        thread.join()

    assert record.cells[Cell.BUSY] == 0
    assert record.cells[Cell.REQUESTS + OK] == 400
    assert record.cells[Cell.DURATION_SECONDS] == 100.0
    assert record.cells[Cell.QUEUE_SECONDS] == 200.0


def test_a_failed_boot_leaves_its_last_line(slots):
    record = allocate(slots)
    record.failure = "ImportError: no module named größe"

    assert record.failure == "ImportError: no module named größe"
    slots.release(record)
    assert record.failure == ""


def test_a_long_last_line_is_cut_between_characters(slots):
    record = allocate(slots)
    record.failure = "x" + "ö" * 1000

    assert record.failure == "x" + "ö" * 255
    assert allocate(slots, age=2).failure == ""


def test_switches_exits_and_trials_are_counted_each_in_a_cell_of_its_own(slots):
    for outcome in SWITCH_OUTCOMES:
        slots.count_switch(outcome)
    for reason in EXIT_REASONS:
        slots.count_exit(reason)
    for outcome in TRIAL_OUTCOMES:
        slots.note_trial(outcome)
    counted = slots.server[Server.SWITCHES : Server.END].tolist()

    assert counted == [1.0] * (len(SWITCH_OUTCOMES) + len(EXIT_REASONS) + len(TRIAL_OUTCOMES))
