from __future__ import annotations

import signal
from types import SimpleNamespace

import pytest

from stablehand_server.linux.cgroup import Cgroup, Hierarchy
from stablehand_server.master import exits
from stablehand_server.shared_memory import Cell, Slots
from stablehand_tuner.contracts.metric_names import EXIT_REASONS


def worker(*, ready=True, retiring=False, aborted=False, reached_max_requests=False):
    record = Slots().allocate(index=0, age=1, worker_class=0, slots=1)
    record.cells[Cell.REACHED_MAX_REQUESTS] = reached_max_requests
    return SimpleNamespace(
        ready=ready,
        retiring_since=5.0 if retiring else None,
        aborted=aborted,
        assignment=SimpleNamespace(record=record),
    )


def exited(code):
    """Return waitpid's status of an exit."""
    return code << 8


KILLED, ABORTED = int(signal.SIGKILL), int(signal.SIGABRT)


@pytest.mark.parametrize(
    ("who", "status", "out_of_memory", "reason"),
    [
        (worker(), KILLED, True, "oom"),
        (worker(retiring=True), KILLED, True, "oom"),
        (worker(), KILLED, False, "signal"),
        (worker(), int(signal.SIGSEGV), True, "signal"),
        (worker(aborted=True), ABORTED, False, "timeout"),
        (worker(aborted=True, ready=False), KILLED, False, "timeout"),
        (worker(retiring=True), exited(0), False, "retired"),
        (worker(retiring=True, ready=False), KILLED, False, "retired"),
        (worker(ready=False), exited(3), False, "boot_failure"),
        (worker(ready=False), KILLED, False, "boot_failure"),
        (worker(reached_max_requests=True), exited(0), False, "max_requests"),
        (worker(reached_max_requests=True, retiring=True), exited(0), False, "max_requests"),
        (worker(reached_max_requests=True), KILLED, False, "signal"),
        (worker(), exited(1), False, "error"),
        (worker(), exited(0), False, "retired"),
    ],
)
def test_every_end_has_one_reason_of_the_contract(who, status, out_of_memory, reason):
    assert exits.reason(who, status, out_of_memory=out_of_memory) == reason
    assert reason in EXIT_REASONS


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (KILLED, "was killed by SIGKILL"),
        (exited(3), "exited with code 3"),
        (exited(0), "exited with code 0"),
        (int(signal.SIGRTMIN) + 5, f"was killed by signal {int(signal.SIGRTMIN) + 5}"),
    ],
)
def test_an_exit_is_described_in_words(status, words):
    assert exits.in_words(status) == words


@pytest.mark.parametrize(
    ("status", "reason", "words"),
    [
        (KILLED, "signal", "was sent SIGKILL! Perhaps out of memory?"),
        (KILLED, "oom", "was sent SIGKILL! Out of memory."),
        (KILLED, "timeout", "was sent SIGKILL!"),
        (int(signal.SIGTERM), "signal", "was sent SIGTERM!"),
        (exited(1), "error", "exited with code 1."),
    ],
)
def test_the_log_describes_an_exit_as_gunicorn_does(status, reason, words):
    assert exits.as_gunicorn_says(status, reason) == words


@pytest.fixture
def counting(tmp_path):
    """Return a cgroup of a version, and the file in which the kernel counts for it; the file is not there yet."""

    def cgroup_and_file(version):
        hierarchy = Hierarchy(tmp_path, tmp_path, version)
        names = {1: ("memory", "memory.oom_control"), 2: ("", "memory.events")}
        controller, file = names[version]
        return Cgroup({controller: hierarchy}), tmp_path / file

    return cgroup_and_file


@pytest.mark.parametrize(
    ("version", "text"),
    [
        (1, "oom_kill_disable 0\nunder_oom 0\noom_kill {}\n"),
        (2, "low 0\noom 7\noom_kill {}\noom_group_kill 9\n"),
    ],
)
def test_kills_for_want_of_memory_are_counted_once(counting, version, text):
    cgroup, file = counting(version)
    file.write_text(text.format(2))
    kills = exits.OutOfMemoryKills(cgroup)

    assert kills.since_last_call() == 0
    file.write_text(text.format(5))
    assert kills.since_last_call() == 3
    assert kills.since_last_call() == 0


def test_without_cgroups_nothing_was_killed_for_want_of_memory(counting):
    assert exits.OutOfMemoryKills(counting(2)[0]).since_last_call() == 0
    assert exits.OutOfMemoryKills(Cgroup({})).since_last_call() == 0
