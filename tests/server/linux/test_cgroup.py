from __future__ import annotations

import os

import pytest

from stablehand_server.linux import cgroup
from stablehand_server.linux.cgroup import Cgroup, Hierarchy

V2_MOUNT = "30 23 0:26 {root} {top} rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
V1_MOUNTS = (
    "30 23 0:26 {root} {top}/cpu,cpuacct rw,nosuid - cgroup cgroup rw,cpu,cpuacct\n"
    "31 23 0:27 {root} {top}/memory rw,nosuid - cgroup cgroup rw,memory\n"
)


def write(directory, **files):
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (directory / name.replace("__", ".")).write_text(text)


def test_the_tightest_limit_between_the_own_cgroup_and_the_top_counts(tmp_path):
    write(tmp_path / "pod", cpu__max="150000 100000\n", memory__max="536870912\n", cpu__stat="throttled_usec 7000000\n")
    write(tmp_path / "pod/app", cpu__max="max 100000\n", memory__max="max\n", cpu__stat="throttled_usec 0\n")
    found = cgroup.find("0::/pod/app\n", V2_MOUNT.format(root="/", top=tmp_path))

    assert Cgroup(found).read() == (cgroup.Grant(1.5, 536870912.0, 7.0))


def test_a_container_reads_the_top_of_its_own_namespace(tmp_path):
    write(tmp_path, cpu__max="200000 100000", memory__max="1000000", cpu__stat="nr_throttled 3\nthrottled_usec 1500000")
    found = cgroup.find("0::/\n", V2_MOUNT.format(root="/", top=tmp_path))

    assert Cgroup(found).read() == cgroup.Grant(2.0, 1_000_000.0, 1.5)


def test_version_1_is_read_too(tmp_path):
    write(
        tmp_path / "cpu,cpuacct/app",
        cpu__cfs_quota_us="50000\n",
        cpu__cfs_period_us="100000\n",
        cpu__stat="nr_periods 5\nthrottled_time 2500000000\n",
    )
    write(tmp_path / "memory/app", memory__limit_in_bytes="268435456\n")
    write(tmp_path / "memory", memory__limit_in_bytes="9223372036854771712\n")
    found = cgroup.find("4:memory:/app\n3:cpu,cpuacct:/app\n", V1_MOUNTS.format(root="/", top=tmp_path))

    assert Cgroup(found).read() == cgroup.Grant(0.5, 268435456.0, 2.5)


def test_a_container_of_version_1_that_sees_the_hosts_path_reads_what_it_has_mounted(tmp_path):
    own = "/kubepods/pod1/container1"
    write(tmp_path / "cpu,cpuacct", cpu__cfs_quota_us="100000", cpu__cfs_period_us="100000")
    write(tmp_path / "memory", memory__limit_in_bytes="1048576")
    paths = f"4:memory:{own}\n3:cpu,cpuacct:{own}\n"
    found = cgroup.find(paths, V1_MOUNTS.format(root=own, top=tmp_path))

    assert Cgroup(found).read() == cgroup.Grant(1.0, 1048576.0, 0.0)
    elsewhere = cgroup.find(paths, V1_MOUNTS.format(root="/docker/other", top=tmp_path))
    assert Cgroup(elsewhere).read() == cgroup.Grant(1.0, 1048576.0, 0.0)


def test_no_limit_is_none(tmp_path):
    write(tmp_path / "cpu,cpuacct", cpu__cfs_quota_us="-1", cpu__cfs_period_us="100000", cpu__stat="throttled_time 0")
    write(tmp_path / "memory", memory__limit_in_bytes="9223372036854771712")
    found = cgroup.find("4:memory:/\n3:cpu,cpuacct:/\n", V1_MOUNTS.format(root="/", top=tmp_path))

    assert Cgroup(found).read() == cgroup.Grant(None, None, 0.0)


def test_a_system_without_cgroups_grants_everything():
    assert Cgroup({}).read() == cgroup.Grant(None, None, 0.0)


def test_a_mount_point_with_a_space_in_its_name_is_found(tmp_path):
    found = cgroup.find("0::/\n", V2_MOUNT.format(root="/", top="/mnt/my\\040groups"))

    assert str(found[""].top) == "/mnt/my groups"


@pytest.mark.parametrize("version", [1, 2])
def test_files_that_are_not_there_or_say_nonsense_limit_nothing(tmp_path, version):
    write(tmp_path, cpu__max="lots\n", cpu__stat="throttled_usec\n", memory__max="-\n")
    hierarchy = Hierarchy(tmp_path, tmp_path, version)

    assert Cgroup({"cpu": hierarchy, "memory": hierarchy}).read() == cgroup.Grant(None, None, 0.0)


def test_the_cores_are_those_that_this_process_may_run_on():
    assert 1 <= cgroup.cpu_count() <= (os.cpu_count() or 1)
