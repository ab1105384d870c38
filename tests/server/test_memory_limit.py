from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from pathlib import Path

import pytest

from stablehand_server.linux.cgroup import Cgroup

pytestmark = pytest.mark.integration

MIB = 1 << 20


class MemoryCgroup:
    """A cgroup of the test's own, of either version."""

    def __init__(self, directory, version):
        self.directory = directory
        self.limit_file, self.usage_file = (
            ("memory.limit_in_bytes", "memory.usage_in_bytes") if version == 1 else ("memory.max", "memory.current")
        )

    @contextlib.contextmanager
    def entered(self):
        """Let what is started within be a member."""
        home = Path(self.directory.parent, "cgroup.procs")
        (self.directory / "cgroup.procs").write_text(str(os.getpid()))
        try:
            yield
        finally:
            home.write_text(str(os.getpid()))

    def leave(self, mib):
        """Let so many MiB be taken beyond what is taken now."""
        usage = int((self.directory / self.usage_file).read_text())
        stat = dict(line.split() for line in (self.directory / "memory.stat").read_text().splitlines())
        # the kernel would drop pages of files later, and leave more: it does now, to get below the limit
        droppable = int(stat["active_file"]) + int(stat["inactive_file"])
        (self.directory / self.limit_file).write_text(str(usage - droppable + mib * MIB))


@pytest.fixture
def cgroup():
    """A memory cgroup for the server; removed when the last process has gone."""
    found = Cgroup.of_this_process()._memory
    if found is None:
        pytest.skip("no memory cgroup is mounted here")
    directory = found.own / f"stablehand-test-{os.getpid()}"
    try:
        directory.mkdir()
    except OSError as error:
        pytest.skip(f"this user may not make a cgroup: {error}")
    made = MemoryCgroup(directory, found.version)
    if not (directory / made.limit_file).exists():
        directory.rmdir()
        pytest.skip("the memory controller is not switched on below this cgroup")
    yield made
    deadline = time.monotonic() + 20
    while True:
        try:
            directory.rmdir()
            break
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.1)


@pytest.fixture
def launch_within(cgroup, launch, tmp_path):
    """Return a function that starts a server in the cgroup, whose app takes so many MiB."""

    def launch_hungry(mib, *flags):
        (tmp_path / "hungry-mib").write_text(str(mib))
        with cgroup.entered():
            return launch(*flags, app="hungry:app")

    return launch_hungry


class Watch:
    """Notes the largest number of worker processes seen at once."""

    def __init__(self, server):
        self._server = server
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self.most = 0

    def _look(self):
        while not self._ended.wait(0.02):
            self.most = max(self.most, len(self._server.workers()))

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._ended.set()
        self._thread.join()


def test_with_room_for_another_process_the_new_one_comes_first(cgroup, launch_within, until):
    server = launch_within(60, "--workers", "2")
    until(lambda: server.settled(2))
    cgroup.leave(300)
    with Watch(server) as watch:
        server.configure("gthread", 2, 4)

    assert watch.most == 3
    assert "goes before its successor" not in server.log()


def test_without_room_the_old_one_goes_first_one_at_a_time_and_no_request_fails(cgroup, launch_within, until):
    server = launch_within(60, "--workers", "2")
    until(lambda: server.settled(2))
    with server.load(8) as load:
        until(lambda: load.last().completed)
        cgroup.leave(40)
        with Watch(server) as watch:
            server.configure("gthread", 2, 4)
        result = load.stop()

    assert watch.most == 2
    assert server.log().count("an old worker goes before its successor comes, one at a time") == 1
    assert result.failures == {}, result.examples
    assert server.metric("worker_exits_total", reason="oom") == 0


def test_after_a_kill_for_want_of_memory_the_switch_goes_on_with_old_workers_first(cgroup, launch_within, until):
    server = launch_within(20, "--workers", "1")
    until(lambda: server.settled(1))
    with server.load(4) as load:
        until(lambda: load.last().completed)
        (server.directory / "hungry-mib").write_text("90")
        cgroup.leave(80)  # a worker takes 40 MiB: all looks well, but the new one will want 110
        fields = {"workerClass": "gthread", "workers": 1, "threads": 4, "workerConnections": 1000}
        server.write(json.dumps(fields))
        until(lambda: server.switches("done") + server.switches("rolled_back"))
        served = len(load.series)
        until(lambda: len(load.series) > served + 1)
        result = load.stop()

    assert server.metric("worker_exits_total", reason="oom") == 1
    assert "from here on old workers go first" in server.log()
    assert server.switches("done") == 1
    assert result.failures == {}, result.examples
    assert server.active() == ("gthread", 1, 4)


def test_where_not_even_that_gives_room_enough_the_switch_is_rolled_back(cgroup, launch_within, until):
    server = launch_within(20, "--workers", "1")
    until(lambda: server.settled(1))
    (server.directory / "hungry-mib").write_text("400")
    cgroup.leave(80)
    fields = {"workerClass": "gthread", "workers": 1, "threads": 4, "workerConnections": 1000}
    server.write(json.dumps(fields))
    until(lambda: server.switches("rolled_back"))
    (server.directory / "hungry-mib").write_text("20")  # the former settings serve again

    until(lambda: server.readiness() == 200)
    assert "it was killed for lack of memory" in server.log()
    assert server.active() == ("sync", 1, 1)
    assert server.metric("settings_refused") == 1
