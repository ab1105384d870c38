from __future__ import annotations

import signal
from types import SimpleNamespace

import pytest

from stablehand_server import exits
from stablehand_server.slots import Cell, Slots
from stablehand_tuner.metric_names import EXIT_REASONS


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
def test_an_end_is_told_in_words(status, words):
    assert exits.in_words(status) == words


@pytest.fixture
def counters(tmp_path, monkeypatch):
    """The two files in which the kernel may count; neither is there yet."""
    files = tmp_path / "memory.events", tmp_path / "memory.oom_control"
    monkeypatch.setattr(exits, "_OOM_COUNTERS", tuple(map(str, files)))
    return files


def test_a_kill_for_want_of_memory_is_seen_once(counters):
    counters[0].write_text("low 0\noom 3\noom_kill 2\n")
    kills = exits.OutOfMemoryKills()

    assert not kills.happened()
    counters[0].write_text("low 0\noom 4\noom_kill 3\n")
    assert kills.happened()
    assert not kills.happened()


def test_the_older_version_of_cgroups_counts_too(counters):
    kills = exits.OutOfMemoryKills()
    counters[1].write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 1\n")

    assert kills.happened()


def test_without_cgroups_nothing_was_killed_for_want_of_memory(counters):
    assert not exits.OutOfMemoryKills().happened()
