"""What the demonstration reads of an app: from a resource's status, or from a server's metrics and log."""

from __future__ import annotations

from stablehand_dev.demo.local import from_log
from stablehand_dev.demo.reading import Decided, Reading, from_snapshots, from_status
from stablehand_tuner.contracts.settings import Settings, WorkerClass

STATUS = {
    "reason": "TrialRunning",
    "message": "gthread 2 × 49 is on trial",
    "settings": {"active": {"workerClass": "gthread", "workers": 2, "threads": 49, "workerConnections": 1000}},
    "observed": {"pods": 1, "slots": 98, "busySlots": 49.5, "cpuShare": 0.02, "requestsPerSecond": 480.0},
    "history": [
        {"action": "keep", "to": "gthread 2 × 49", "message": "it stays"},
        {"action": "apply", "to": "gthread 2 × 49", "message": "63 connections wait"},
    ],
}
LOG = """\
[2026-01-01 00:00:00 +0000] [7] [INFO] Serving with sync 1
[2026-01-01 00:00:01 +0000] [8] [INFO] autotune: hold: warming up: 0 of 3 s, 0 of 20 requests [WarmingUp]
[2026-01-01 00:00:04 +0000] [8] [INFO] autotune: apply gthread 2 × 49: 63 wait: gthread 2 × 49, not sync 1 [Backlog]
[2026-01-01 00:00:05 +0000] [7] [INFO] Serving with gthread 2 × 49
[2026-01-01 00:00:11 +0000] [8] [INFO] autotune: keep gthread 2 × 49: gthread 2 × 49 stays: p99 248 ms [TrialPassed]
"""


def test_a_status_gives_what_runs_what_was_measured_and_the_decisions_oldest_first():
    reading = from_status(STATUS)
    assert reading.settings == Settings(WorkerClass.GTHREAD, workers=2, threads=49)
    assert (reading.slots, reading.busy, reading.cpu_share) == (98, 49.5, 0.02)
    assert [each.action for each in reading.decisions] == ["apply", "keep"]
    assert reading.changed


def test_a_status_that_is_still_empty_gives_an_empty_reading():
    assert from_status({}) == Reading()
    assert not from_status({}).changed


def test_a_servers_log_gives_its_decisions_and_its_present_reason():
    reading = from_log(LOG, Reading())
    assert reading.decisions == (
        Decided("apply", "gthread 2 × 49", "63 wait: gthread 2 × 49, not sync 1"),
        Decided("keep", "gthread 2 × 49", "gthread 2 × 49 stays: p99 248 ms"),
    )
    assert reading.reason == "TrialPassed"


def test_a_log_without_decisions_gives_the_reason_to_hold():
    reading = from_log("\n".join(LOG.splitlines()[:2]), Reading())
    assert (reading.reason, reading.decisions) == ("WarmingUp", ())


def test_nothing_measured_is_unknown_not_zero():
    assert from_snapshots(None, None).busy is None
