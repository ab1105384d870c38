from __future__ import annotations

from stablehand_server.exporter.processes import Processes, RunDelay
from stablehand_server.slots import Cell


def test_the_run_delay_of_a_thread_that_ended_is_kept():
    delay = RunDelay()
    assert delay.add_up({1: 1.0, 2: 2.0}, 0.0) == 3.0
    assert delay.add_up({1: 1.5}, 3.0) == 3.5
    assert delay.add_up({1: 1.5, 3: 0.5}, 3.5) == 4.0


def test_a_thread_whose_id_is_used_again_counts_from_zero():
    delay = RunDelay()
    delay.add_up({1: 1.0, 2: 2.0}, 0.0)

    assert delay.add_up({1: 1.0, 2: 0.5}, 3.0) == 3.5


def test_a_new_exporter_goes_on_where_the_one_before_it_ended():
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


def test_the_costly_memory_is_read_once_in_a_while(slots, spawn, proc):
    spawn(0)
    now = 100.0
    processes = Processes(1000, clock=lambda: now)
    for _ in range(10):
        (found,) = processes.read(slots.living()).values()
        assert found.proportional_bytes == 20_000_000
    assert proc.pss_reads == 1

    now += 6.0
    processes.read(slots.living())
    assert proc.pss_reads == 2


def test_a_worker_whose_process_id_is_not_known_yet_is_passed_over(slots):
    slots.allocate(index=0, age=1, worker_class=0, slots=1)

    assert Processes(1000).read(slots.living()) == {}
