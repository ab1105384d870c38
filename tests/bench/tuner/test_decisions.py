from __future__ import annotations

from stablehand_bench.tuner.decisions import Decision, changes, parse, rolled_back

LOG = """[2026-11-24 04:50:00 +0000] [1] [INFO] Listening at: http://127.0.0.1:8000 (1)
[2026-11-24 04:50:01 +0000] [9] [INFO] autotune: hold: observing: 1 of 4 s [Collecting]
[2026-11-24 04:50:02 +0000] [9] [INFO] autotune: apply gthread 2 × 49: 63 wait; 98% of a request: waiting [Backlog]
[2026-11-24 04:50:03 +0000] [9] [INFO] autotune: keep gthread 2 × 49: it stays: 488.7 requests/s [TrialPassed]
[2026-11-24 04:50:04 +0000] [9] [INFO] autotune: apply gevent 2 × 49: an event loop tries [EventLoop]
[2026-11-24 04:50:05 +0000] [9] [INFO] autotune: roll_back gthread 2 × 49: something blocks [TrialLag]
"""


def test_every_decision_is_read_from_a_log_with_its_message_and_reason():
    told = parse(LOG)

    assert told[0] == Decision("hold", "", "observing: 1 of 4 s", "Collecting")
    assert told[1] == Decision("apply", "gthread 2 × 49", "63 wait; 98% of a request: waiting", "Backlog")
    assert [each.reason for each in told[2:]] == ["TrialPassed", "EventLoop", "TrialLag"]


def test_a_change_that_is_taken_back_is_one_change():
    assert (changes(parse(LOG)), rolled_back(parse(LOG))) == (2, 1)


def test_a_climb_is_one_change_whatever_its_steps():
    line = "[2026-11-24 04:50:02 +0000] [9] [INFO] autotune: apply gthread 2 × {}: {} [{}]\n"
    steps = [(1, "63 wait", "Backlog"), (2, "it serves more", "NextStep"), (1, "requests fail", "StepBack")]

    assert changes(parse("".join(line.format(*step) for step in steps))) == 1


def test_a_log_without_decisions_has_none():
    assert parse("nothing of the kind\n") == []
