"""A process finds its own cgroup on a real hierarchy of version 2, whatever is mounted, in whichever namespace."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from stablehand_server.linux.cgroup import Cgroup

pytestmark = pytest.mark.integration

# Enters a cgroup, and goes on as another program there.
ENTER = """
    import os, sys
    directory, *command = sys.argv[1:]
    with open(f"{directory}/cgroup.procs", "w") as procs:
        procs.write(str(os.getpid()))
    os.execvp(command[0], command)
"""
# Mounts cgroups (what=where), unmounts others (=where), and tells where it finds itself.
LOOK = """
    import json, os, pathlib, subprocess, sys
    from stablehand_server.linux import cgroup
    for what, where in (each.split("=") for each in sys.argv[1:]):
        if not what:
            command = ["umount", "--lazy"]
        elif what == "new":
            command = ["mount", "-t", "cgroup2", "none"]
        else:
            command = ["mount", "--bind", what]
        subprocess.run([*command, where], check=True)
    texts = [pathlib.Path(each).read_text() for each in ("/proc/self/cgroup", "/proc/self/mountinfo")]
    found = cgroup.find(*texts, cgroup._locate)[""]
    members = (found.own / "cgroup.procs").read_text().split()
    print(json.dumps({"levels": len(list(found.upwards())), "is_ours": str(os.getpid()) in members}))
"""


def unified():
    """The mount point of version 2, alone or beside version 1."""
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines():
        mount, _, source = line.partition(" - ")
        if source.startswith("cgroup2 "):
            return Path(mount.split()[4])
    return None


def remove(directory):
    """Remove a cgroup once its last process has gone."""
    deadline = time.monotonic() + 20
    while (directory / "cgroup.procs").exists() and (directory / "cgroup.procs").read_text():
        assert time.monotonic() < deadline, f"{directory} is still in use"
        time.sleep(0.05)
    if directory.exists():
        directory.rmdir()


@pytest.fixture
def nested():
    """A cgroup of the test's own with another one in it, and one beside: their directories."""
    top = unified()
    if top is None or os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("a hierarchy of version 2, root and unshare are needed")
    made = [top / f"stablehand-test-{os.getpid()}"]
    made += [made[0] / "app", made[0] / "beside"]
    try:
        for each in made:
            each.mkdir()
    except OSError as error:
        pytest.skip(f"no cgroup can be made here: {error}")
    yield made
    for each in reversed(made):
        remove(each)


@pytest.fixture
def look(nested, tmp_path):
    """Let a process in the nested cgroup find itself, in a mount namespace with these mounts."""

    def run(*mounts, namespace):
        python = [sys.executable, "-c"]
        namespaces = ["unshare", "--mount", *(["--cgroup"] if namespace else []), "--"]
        command = [*namespaces, *python, textwrap.dedent(LOOK), *mounts]
        done = subprocess.run(
            [*python, textwrap.dedent(ENTER), nested[1], *command],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            cwd=tmp_path,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


@pytest.fixture
def places(tmp_path):
    """Two folders to mount at, one with a name that mountinfo has to escape."""
    made = [tmp_path / "first", tmp_path / "a \\ #b"]
    for each in made:
        each.mkdir()
    return made


@pytest.mark.parametrize("namespace", [False, True])
def test_by_the_machines_own_mount(look, namespace):
    found = look(namespace=namespace)
    assert found["is_ours"]
    assert found["levels"] >= 3


@pytest.mark.parametrize("namespace", [False, True])
def test_with_a_mount_of_another_cgroup_before_and_one_of_a_part_behind(look, nested, places, namespace):
    other, part = places
    found = look(f"{nested[2]}={other}", f"{nested[0]}={part}", f"={unified()}", namespace=namespace)
    assert found == {"is_ours": True, "levels": 2}


def test_with_a_mount_made_in_the_namespace_which_begins_at_our_own_cgroup(look, places):
    assert look(f"={unified()}", f"new={places[1]}", namespace=True) == {"is_ours": True, "levels": 1}


def test_a_real_memory_limit_of_version_2_is_read_with_memory_high_and_the_mark_of_the_group(nested):
    own = nested[1]
    try:
        (unified() / "cgroup.subtree_control").write_text("+memory")
        (nested[0] / "cgroup.subtree_control").write_text("+memory")
    except OSError:
        pytest.skip("the memory controller is bound to version 1 here, or this cgroup may not hand it on")
    (nested[0] / "memory.max").write_text(str(300 << 20))
    (own / "memory.high").write_text(str(200 << 20))
    (nested[0] / "memory.oom.group").write_text("1")
    program = (
        "import os; from stablehand_server.linux.cgroup import Cgroup; found = Cgroup.of_this_process(); "
        "print(found.read().memory_bytes, found.kills_together())"
    )
    entered = [sys.executable, "-c", textwrap.dedent(ENTER), own, sys.executable, "-c", program]
    assert subprocess.run(entered, capture_output=True, text=True, check=True).stdout.split() == [
        str(float(200 << 20)),
        str(nested[0]),
    ]


def test_this_very_process_is_a_member_of_what_is_found():
    found = Cgroup.of_this_process()._memory
    if found is None:
        pytest.skip("no cgroup is mounted here")
    assert str(os.getpid()) in (found.own / "cgroup.procs").read_text().split()
