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


def own(cgroup_text, *mounts, locate=lambda *_: None):
    """Where the cgroup of version 2 is found, as text."""
    return str(cgroup.find(cgroup_text, "".join(f"{each}\n" for each in mounts), locate)[""].own)


ELSEWHERE = "29 23 0:26 /other /mnt/other rw - cgroup2 cgroup2 rw"
WHOLE = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate"
PART = "31 23 0:26 /pod /mnt/pod rw master:2 propagate_from:1 - cgroup2 cgroup2 rw"


@pytest.mark.parametrize("mounts", [[ELSEWHERE, WHOLE], [WHOLE, ELSEWHERE], [ELSEWHERE, PART, WHOLE]])
def test_of_two_mounts_the_one_counts_that_has_our_cgroup_below_it_and_the_most_above(mounts):
    assert own("0::/pod/app\n", *mounts) == "/sys/fs/cgroup/pod/app"


def test_a_mount_of_a_part_is_used_where_no_mount_of_the_whole_is_there():
    assert own("0::/pod/app\n", ELSEWHERE, PART) == "/mnt/pod/app"


def test_a_name_that_only_begins_like_ours_is_not_above_us():
    assert own("0::/podium/app\n", PART, WHOLE) == "/sys/fs/cgroup/podium/app"


def test_of_two_mounts_at_one_point_the_later_one_is_what_is_there():
    later = "32 23 0:26 /pod /sys/fs/cgroup rw - cgroup2 cgroup2 rw"
    assert own("0::/pod/app\n", WHOLE, later) == "/sys/fs/cgroup/app"
    hidden = "33 23 0:99 / /sys/fs/cgroup rw - tmpfs tmpfs rw"
    assert cgroup.find("0::/pod/app\n", f"{WHOLE}\n{hidden}\n") == {}


@pytest.mark.parametrize(
    "line",
    [
        "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw",
        "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2",
        "30 23 0:26 / /sys/fs/cgroup rw - cgroup2  rw",
        "30 23 0:26 / /sys/fs/cgroup rw - cgroup2",
    ],
)
def test_a_mount_without_optional_fields_source_or_options_is_read(line):
    assert own("0::/app\n", line) == "/sys/fs/cgroup/app"


@pytest.mark.parametrize("nonsense", ["", "31 23", "31 23 0:26 / /x rw -", "- cgroup2 cgroup2 rw", "\x00 - - -"])
def test_an_unreadable_line_does_not_disable_the_others(nonsense):
    assert own("0::/app\n", nonsense, WHOLE, nonsense) == "/sys/fs/cgroup/app"
    assert own(f"{nonsense}\n0::/app\nrest of a name\n", WHOLE) == "/sys/fs/cgroup/app"


@pytest.mark.parametrize(
    ("written", "point"),
    [(r"/mnt/a\040b", "/mnt/a b"), (r"/mnt/a\043b\134c", "/mnt/a#b\\c"), (r"/mnt/a\134040b", r"/mnt/a\040b")],
)
def test_every_octal_escape_of_a_mount_is_undone_once(written, point):
    assert own("0::/app\n", f"30 23 0:26 / {written} rw - cgroup2 cgroup2 rw") == f"{point}/app"


def test_a_cgroup_namespace_shows_its_root_as_the_top():
    assert own("0::/\n", WHOLE) == "/sys/fs/cgroup"
    assert own("0::/app\n", WHOLE) == "/sys/fs/cgroup/app"


def test_a_mount_from_outside_of_the_namespace_is_followed_as_far_as_its_names_are_known():
    outside = "30 23 0:26 /../.. /host rw - cgroup2 cgroup2 rw"
    assert own("0::/../beside/app\n", "30 23 0:26 /.. /host rw - cgroup2 cgroup2 rw") == "/host/beside/app"
    asked = []

    def locate(point, levels, below):
        asked.append((str(point), levels, str(below)))
        return point / "kubepods" / "pod1" / below

    assert own("0::/app\n", outside, locate=locate) == "/host/kubepods/pod1/app"
    assert asked == [("/host", 2, "app")]
    assert own("0::/app\n", outside) == "/host"


def test_a_process_outside_of_what_is_mounted_gets_the_limits_of_the_mount():
    assert own("0::/../beside\n", WHOLE) == "/sys/fs/cgroup"


def test_in_a_hybrid_each_controller_is_where_it_is_bound(tmp_path):
    write(tmp_path / "memory/app", memory__limit_in_bytes="1048576", memory__usage_in_bytes="0")
    write(tmp_path / "unified/app", memory__max="77", cpu__max="100000 50000")
    found = cgroup.find(
        "4:memory:/app\n1:name=systemd:/app\n0::/app\n",
        f"36 31 0:32 / {tmp_path}/memory rw - cgroup cgroup rw,memory\n"
        f"40 31 0:37 / {tmp_path}/systemd rw - cgroup cgroup rw,name=systemd\n"
        f"41 31 0:38 / {tmp_path}/unified rw - cgroup2 cgroup2 rw\n",
    )

    assert Cgroup(found).read() == cgroup.Grant(2.0, 1048576.0, 0.0)


@pytest.mark.parametrize(
    ("above", "below", "limit"),
    [
        ({"memory__high": "700"}, {"memory__max": "900"}, 700.0),
        ({"memory__max": "900"}, {"memory__high": "800", "memory__max": "1000"}, 800.0),
        ({"memory__high": "max", "memory__max": "900"}, {"memory__high": "max"}, 900.0),
        ({"memory__high": "max"}, {"memory__max": "max"}, None),
    ],
)
def test_memory_high_limits_as_memory_max_does_and_the_tightest_counts(tmp_path, above, below, limit):
    write(tmp_path / "pod", memory__current="100", **above)
    write(tmp_path / "pod/app", memory__current="100", **below)
    found = Cgroup(cgroup.find("0::/pod/app\n", V2_MOUNT.format(root="/", top=tmp_path)))

    assert found.read().memory_bytes == limit
    assert found.memory_headroom_bytes() == (None if limit is None else limit - 100)


@pytest.mark.parametrize(("place", "named"), [("pod/app", "pod/app"), ("pod", "pod"), (".", ".")])
def test_the_cgroup_whose_processes_end_together_is_our_own_or_one_above(tmp_path, place, named):
    write(tmp_path / "pod/app", memory__oom__group="0\n")
    write(tmp_path / place, memory__oom__group="1\n")
    found = Cgroup(cgroup.find("0::/pod/app\n", V2_MOUNT.format(root="/", top=tmp_path)))

    assert found.kills_together() == tmp_path / named


@pytest.mark.parametrize("version", [1, 2])
def test_by_default_processes_are_killed_alone(tmp_path, version):
    write(tmp_path / "beside", memory__oom__group="1\n")
    write(tmp_path, memory__oom__group="0\n")

    assert Cgroup({"memory": Hierarchy(tmp_path, tmp_path, version)}).kills_together() is None
    assert Cgroup({}).kills_together() is None


def test_the_kernels_count_of_kills_is_read_here_and_in_the_parent_which_outlives_a_container(tmp_path):
    write(tmp_path / "pod", memory__events="oom 3\noom_kill 9\noom_group_kill 2\n")
    write(tmp_path / "pod/app", memory__events="oom 0\noom_kill 0\noom_group_kill 0\n")
    found = Cgroup(cgroup.find("0::/pod/app\n", V2_MOUNT.format(root="/", top=tmp_path)))

    assert found.out_of_memory_record() == {f"{tmp_path}/pod/app": 0, f"{tmp_path}/pod": 9}


def test_what_is_above_the_mount_or_not_told_is_missing_from_the_count(tmp_path):
    write(tmp_path, memory__events="oom_kill 4\n")
    assert Cgroup({"memory": Hierarchy(tmp_path, tmp_path, 2)}).out_of_memory_record() == {str(tmp_path): 4}
    assert Cgroup({"memory": Hierarchy(tmp_path, tmp_path / "app", 1)}).out_of_memory_record() == {}
    assert Cgroup({}).out_of_memory_record() == {}


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
