from __future__ import annotations

import pytest

from stablehand_server.exporter.processes import Processes, RunDelay
from stablehand_server.measure import traits
from stablehand_server.shared_memory import Cell
from stablehand_tuner.contracts import metric_names as names


def test_the_run_delay_of_a_thread_that_ended_is_kept():
    delay = RunDelay()
    assert delay.add_up({1: 1.0, 2: 2.0}, 0.0) == 3.0
    assert delay.add_up({1: 1.5}, 3.0) == 3.5
    assert delay.add_up({1: 1.5, 3: 0.5}, 3.5) == 4.0


def test_a_thread_whose_id_is_used_again_counts_from_zero():
    delay = RunDelay()
    delay.add_up({1: 1.0, 2: 2.0}, 0.0)

    assert delay.add_up({1: 1.0, 2: 0.5}, 3.0) == 3.5


def test_a_new_exporter_continues_where_the_previous_one_ended():
    assert RunDelay().add_up({1: 1.0}, 5.0) == 5.0
    assert RunDelay().add_up({1: 6.0}, 5.0) == 6.0


def test_the_run_delay_is_written_into_the_record_for_the_master_to_fold(slots, spawn, proc):
    worker = spawn(0)
    proc.delays[worker.pid] = {1: 0.5, 2: 0.25}
    Processes(1000).read(slots.living())

    assert worker.record.cells[Cell.RUN_DELAY_SECONDS] == 0.75


def test_nothing_is_left_in_a_record_that_the_master_freed_meanwhile(slots, spawn, proc, monkeypatch):
    worker = spawn(0)

    def freed_meanwhile(pid):
        slots.release(worker.record)
        return {1: 3.0}

    monkeypatch.setattr(proc, "run_delays", freed_meanwhile)
    Processes(1000).read(slots.living())

    assert not any(worker.record.cells)


FORKS = float(traits.bitmap(names.APP_RUNS_INFO, ["child_processes"]))


def children_seconds(slots, worker):
    Processes(1000).read(slots.living())
    return worker.record.cells[Cell.CHILDREN_CPU_SECONDS]


def test_what_ended_children_have_used_is_published(slots, spawn, proc):
    worker = spawn(0)
    proc.run(worker.pid, user=1.0, ended_children=2.5)

    assert children_seconds(slots, worker) == 2.5


def test_living_children_and_theirs_count_where_the_app_is_known_to_have_some(slots, spawn, proc):
    worker = spawn(0)
    proc.run(worker.pid, ended_children=1.0)
    proc.run(71, parent=worker.pid, user=2.0, ended_children=0.5)
    proc.run(72, parent=71, system=0.25)
    proc.forked = {worker.pid: [71, 73], 71: [72], 72: [71]}  # 73 has just ended, and ids are used again
    assert children_seconds(slots, worker) == 1.0

    worker.record.cells[Cell.TRAITS] = FORKS
    assert children_seconds(slots, worker) == 3.75


def test_what_children_have_used_never_falls(slots, spawn, proc):
    worker = spawn(0)
    worker.record.cells[Cell.TRAITS] = FORKS
    proc.run(71, parent=worker.pid, user=2.0)
    proc.forked = {worker.pid: [71]}
    assert children_seconds(slots, worker) == 2.0

    proc.forked = {}
    assert children_seconds(slots, worker) == 2.0
    proc.run(worker.pid, ended_children=2.25)
    assert children_seconds(slots, worker) == 2.25


def test_no_more_than_some_hundred_descendants_are_read(slots, spawn, proc):
    worker = spawn(0)
    worker.record.cells[Cell.TRAITS] = FORKS
    for pid in range(2000, 4000):
        proc.run(pid, user=1.0)
        proc.forked[pid] = [pid + 1]
    proc.forked[worker.pid] = [2000]

    assert 200 < children_seconds(slots, worker) < 300


class Clock:
    """Seconds that go on only when told to, or by reading the costly memory."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        """Return the seconds."""
        return self.now


@pytest.fixture
def clock(proc, monkeypatch):
    clock, plain = Clock(), proc.proportional_bytes

    def slow(pid):
        clock.now += 0.002
        return plain(pid)

    monkeypatch.setattr(proc, "proportional_bytes", slow)
    return clock


def test_a_scrape_reads_the_costly_memory_of_a_new_process_and_never_again(slots, spawn, proc, clock):
    spawn(0)
    processes = Processes(1000, clock)
    for _ in range(10):
        (found,) = processes.read(slots.living()).values()
        assert found.proportional_bytes == 20_000_000
        clock.now += 60.0
    assert proc.pss_reads == 1


def test_the_costly_memory_is_renewed_beside_the_scrapes_at_most_every_five_seconds(slots, spawn, proc, clock):
    spawn(0)
    processes = Processes(1000, clock)
    processes.read(slots.living())
    assert processes.read_memory() == pytest.approx(5.0)
    assert proc.pss_reads == 1

    clock.now += 6.0
    processes.read_memory()
    assert proc.pss_reads == 2


def test_with_many_processes_a_scrape_leaves_most_of_the_costly_memory_to_be_read_beside_it(slots, spawn, proc, clock):
    for index in range(64):
        spawn(index)
    processes = Processes(1000, clock)
    found = processes.read(slots.living())
    assert 1 <= proc.pss_reads <= 3
    assert sum(each.proportional_bytes is not None for each in found.values()) == proc.pss_reads

    clock.now += 0.01
    started = clock.now
    while proc.pss_reads < 64:
        clock.now += processes.read_memory()
    assert all(each.proportional_bytes for each in found.values())
    assert clock.now - started < 1.0


def test_the_costly_memory_takes_no_more_than_two_hundredths_of_a_core(slots, spawn, proc, clock):
    for index in range(64):
        spawn(index)
    processes = Processes(1000, clock)
    processes.read(slots.living())
    clock.now += 60.0
    while proc.pss_reads < 64:
        clock.now += processes.read_memory()
    reads, started = proc.pss_reads, clock.now
    while clock.now < started + 120.0:
        clock.now += processes.read_memory()

    assert 0.015 <= (proc.pss_reads - reads) * 0.002 / (clock.now - started) <= 0.0201


def test_the_last_memory_reading_of_an_ended_process_is_kept(slots, spawn, proc, clock):
    worker = spawn(0)
    processes = Processes(1000, clock)
    processes.read(slots.living())
    del proc.times[worker.pid]
    clock.now += 6.0
    processes.read_memory()
    (found,) = processes.read(slots.living()).values()

    assert proc.pss_reads == 2
    assert found.proportional_bytes == 20_000_000


def test_without_any_process_there_is_no_memory_to_read(clock):
    assert Processes(1000, clock).read_memory() > 0


def test_a_worker_whose_process_id_is_not_known_yet_is_passed_over(slots):
    slots.allocate(index=0, age=1, worker_class=0, slots=1)

    assert Processes(1000).read(slots.living()) == {}


def test_memory_that_requests_hold_shows_before_the_pss_is_read_again(slots, spawn, proc):
    worker = spawn(0)
    proc.run(worker.pid)
    processes = Processes(1000, Clock())
    (found,) = processes.read(slots.living()).values()
    assert found.proportional_bytes == 20_000_000

    proc.resident += 7_000_000
    (found,) = processes.read(slots.living()).values()
    assert (found.proportional_bytes, proc.pss_reads) == (27_000_000, 1)
