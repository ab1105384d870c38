from __future__ import annotations

import pytest

from stablehand_bench.tuner import memory_limit


@pytest.mark.parametrize(
    "events",
    [
        "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n",
        "low 0\nhigh 0\nmax 41\noom 5\noom_kill 3\noom_group_kill 0\n",
    ],
    ids=["version 1", "version 2"],
)
def test_only_processes_that_were_killed_count(events):
    assert memory_limit.killed(events) == 3


def test_a_kernel_that_does_not_count_reports_no_kills():
    assert memory_limit.killed("oom_kill_disable 0\nunder_oom 0\n") == 0


def test_a_machine_without_memory_cgroups_is_reported(monkeypatch):
    monkeypatch.setattr(memory_limit.cgroup, "find", lambda *_: {})
    with pytest.raises(memory_limit.NoCgroup, match="no memory cgroup is mounted"), memory_limit.limited(1):
        pass
