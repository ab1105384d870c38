from __future__ import annotations

from stablehand_server.master.trial.lateness import LONGEST_LATE_SECONDS, Lateness

LOOKS = 20  # in a second


def late_for(lateness, seconds, *, trial, siblings=0.0, start=0.0):
    """Look at timers that are so late for so many seconds; return when it was found to harm, or None."""
    for look in range(int(seconds * LOOKS) + 1):
        now = start + look / LOOKS
        lateness.look(trial, siblings, now)
        if lateness.harms:
            return now
    return None


def test_a_loop_that_is_late_all_the_time_harms_after_the_seconds_that_are_allowed():
    assert late_for(Lateness(0.5), 10, trial=0.6) == LONGEST_LATE_SECONDS


def test_a_loop_that_is_in_time_never_harms():
    assert late_for(Lateness(0.5), 100, trial=0.4) is None


def test_one_long_pause_such_as_an_import_at_the_first_request_is_no_harm():
    lateness = Lateness(0.5)

    assert late_for(lateness, 1.5, trial=1.5) is None
    assert late_for(lateness, 3.0, trial=0.0, start=1.5) is None
    assert late_for(lateness, 1.5, trial=1.5, start=4.5) is None


def test_a_loop_that_is_late_most_of_the_time_harms():
    lateness = Lateness(0.5)
    found = [late_for(lateness, 1.0, trial=late, start=second) for second, late in enumerate([1, 1, 0, 1, 1, 0, 1, 1])]

    assert any(found)


def test_where_the_siblings_are_late_as_well_the_machine_is_overloaded():
    assert late_for(Lateness(0.5), 10, trial=3.0, siblings=2.6) is None
    assert late_for(Lateness(0.5), 10, trial=3.2, siblings=2.6) is not None
