from __future__ import annotations

import logging
import os

import pytest

from stablehand_server.linux import procfs
from stablehand_server.linux.cgroup import Cgroup, Hierarchy
from stablehand_server.master import memory_headroom
from stablehand_server.master.memory_headroom import MemoryHeadroom, surge

MIB = 1 << 20


@pytest.mark.parametrize(
    ("headroom", "worker", "expected"),
    [
        (None, 100 * MIB, 1),
        (500 * MIB, None, 1),
        (500 * MIB, 100 * MIB, 1),
        (120 * MIB, 100 * MIB, 1),
        (119 * MIB, 100 * MIB, 0),
        (-5 * MIB, 1 * MIB, 0),
    ],
)
def test_a_process_more_needs_room_for_the_largest_worker_and_a_fifth(headroom, worker, expected):
    assert surge(headroom, worker) == expected


@pytest.fixture
def limited(tmp_path, monkeypatch):
    """Return a headroom under a limit of version 2 of which so many bytes are left; readings have no pause."""
    monkeypatch.setattr(memory_headroom, "_SECONDS_BETWEEN_READINGS", 0.0)
    (tmp_path / "memory.max").write_text(f"{1024 * MIB}\n")
    headroom = MemoryHeadroom(Cgroup({"": Hierarchy(tmp_path, tmp_path, 2)}), logging.getLogger(__name__))

    def leave(left, droppable=0):
        (tmp_path / "memory.current").write_text(f"{1024 * MIB - left + droppable}\n")
        (tmp_path / "memory.stat").write_text(f"anon 5\ninactive_file {droppable}\n")
        return headroom

    return leave


ME = [os.getpid()]


def test_with_room_there_is_a_surge_and_without_it_none_and_the_log_says_so_once(limited, caplog):
    resident = procfs.resident_bytes(os.getpid())

    assert limited(2 * resident).surge(ME) == 1
    assert caplog.records == []
    assert limited(resident // 10).surge(ME) == 0
    assert limited(resident // 10).surge(ME) == 0
    (record,) = caplog.records
    assert "an old worker goes before its successor comes" in record.getMessage()
    assert limited(2 * resident).surge(ME) == 1


def test_one_process_more_or_less_is_a_reason_to_read_anew_before_the_next_is_started(limited, monkeypatch):
    monkeypatch.setattr(memory_headroom, "_SECONDS_BETWEEN_READINGS", 3600.0)
    resident = procfs.resident_bytes(os.getpid())
    headroom = limited(2 * resident)
    assert headroom.surge(ME) == 1

    limited(resident // 10)
    assert headroom.surge(ME) == 1  # as read before
    assert headroom.surge([*ME, 2**22 + 1]) == 0


def test_file_pages_that_can_be_dropped_are_room(limited):
    resident = procfs.resident_bytes(os.getpid())

    assert limited(2 * resident, droppable=500 * MIB).surge(ME) == 1
    assert limited(resident // 10, droppable=500 * MIB).surge(ME) == 0


def test_after_a_kill_old_workers_go_first_until_the_switch_is_done(limited):
    headroom = limited(1000 * MIB)
    assert headroom.surge(ME) == 1

    assert headroom.note_exceeded()
    assert headroom.surge(ME) == 0
    assert not headroom.note_exceeded()
    headroom.forget()
    assert headroom.surge(ME) == 1


def test_without_a_limit_or_without_workers_there_is_a_surge(limited):
    assert MemoryHeadroom(Cgroup({}), logging.getLogger(__name__)).surge(ME) == 1
    assert limited(0).surge([]) == 1


def test_workers_that_have_exited_meanwhile_do_not_matter(limited):
    assert limited(0).surge([2**22 + 1]) == 1


@pytest.mark.parametrize(
    ("version", "limit", "usage", "droppable"),
    [
        (1, "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        (2, "memory.max", "memory.current", "inactive_file"),
    ],
)
def test_the_tightest_of_the_limits_from_the_own_cgroup_up_to_the_top_counts(
    tmp_path, version, limit, usage, droppable
):
    own = tmp_path / "pod" / "container"
    own.mkdir(parents=True)
    for directory, bytes_, used in ((own, "900", "300"), (own.parent, "1000", "850"), (tmp_path, "max", "5000")):
        (directory / limit).write_text(f"{bytes_}\n")
        (directory / usage).write_text(f"{used}\n")
        (directory / "memory.stat").write_text(f"anon 9\n{droppable} 50\n")
    controller = "memory" if version == 1 else ""
    cgroup = Cgroup({controller: Hierarchy(tmp_path, own, version)})

    assert cgroup.memory_headroom_bytes() == 1000 - 850 + 50


def test_a_cgroup_without_usage_has_no_known_headroom(tmp_path):
    (tmp_path / "memory.max").write_text("1000\n")

    assert Cgroup({"": Hierarchy(tmp_path, tmp_path, 2)}).memory_headroom_bytes() is None
