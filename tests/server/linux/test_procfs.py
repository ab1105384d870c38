from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest

from stablehand_server.linux import procfs

TICKS = os.sysconf("SC_CLK_TCK")


def test_cpu_seconds_are_found_behind_whatever_name_a_process_gives_itself():
    stat = b"42 (a) b (c 7) S 41 42 42 0 -1 4194304 100 0 0 0 250 50 9 9 20 0 1 0 100 0 0\n"

    times = procfs.parse_stat(stat)
    assert times == (41, 250 / TICKS, 50 / TICKS, 18 / TICKS)
    assert times.with_ended_children == pytest.approx(318 / TICKS)


def test_a_stat_that_is_cut_short_is_an_error():
    with pytest.raises(ValueError, match="fields"):
        procfs.parse_stat(b"42 (gunicorn) S 41")


def test_the_second_number_of_schedstat_is_the_run_delay_in_nanoseconds():
    assert procfs.parse_schedstat(b"5000000000 1500000000 77\n") == 1.5


def test_the_second_number_of_statm_is_the_resident_memory_in_pages():
    assert procfs.parse_statm(b"1000 25 10 1 0 100 0\n") == 25 * os.sysconf("SC_PAGE_SIZE")


def test_the_proportional_memory_is_the_line_pss_and_not_one_of_its_parts():
    content = b"55d-7ff ---p 00000000 00:00 0 [rollup]\nRss:  9000 kB\nPss:  4096 kB\nPss_Dirty:  10 kB\n"

    assert procfs.parse_smaps_rollup(content) == 4096 * 1024
    with pytest.raises(ValueError, match="Pss"):
        procfs.parse_smaps_rollup(b"Rss: 9000 kB\n")


def test_what_memory_is_left_is_the_line_available_and_not_what_is_free():
    content = b"MemTotal: 9000 kB\nMemFree: 10 kB\nMemAvailable:   4096 kB\nCached: 4000 kB\n"

    assert procfs.parse_meminfo(content) == 4096 * 1024
    with pytest.raises(ValueError, match="MemAvailable"):
        procfs.parse_meminfo(b"MemTotal: 9000 kB\n")


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_this_machine_says_what_memory_is_left():
    assert 0 < (procfs.available_bytes() or 0) < os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_this_process_can_be_read():
    pid = os.getpid()
    times = procfs.process_times(pid)
    seconds = os.times()

    assert times is not None
    assert times.parent == os.getppid()
    assert times.user_seconds == pytest.approx(seconds.user, abs=0.5)
    assert threading.get_native_id() in (procfs.run_delays(pid) or {})
    assert (procfs.resident_bytes(pid) or 0) > 1_000_000


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_a_process_that_is_gone_is_none_and_no_error():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()

    assert procfs.process_times(process.pid) is None
    assert procfs.run_delays(process.pid) is None
    assert procfs.resident_bytes(process.pid) is None
    assert procfs.proportional_bytes(process.pid) is None


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_a_zombie_still_has_cpu_seconds_but_no_memory():
    process = subprocess.Popen([sys.executable, "-c", "sum(range(3_000_000))"])
    try:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        times = procfs.process_times(process.pid)
        assert times is not None
        assert times.parent == os.getpid()
        assert times.user_seconds + times.system_seconds > 0
        assert procfs.resident_bytes(process.pid) is None
    finally:
        process.wait()


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_children_are_those_of_each_thread_that_has_not_been_waited_for():
    started = []
    thread = threading.Thread(target=lambda: started.append(subprocess.Popen(["sleep", "60"])))
    thread.start()
    thread.join()
    process = started[0]
    try:
        assert process.pid in procfs.children(os.getpid())
    finally:
        process.kill()
        process.wait()

    assert process.pid not in procfs.children(os.getpid())
    assert procfs.children(process.pid) == []
