"""When the demonstration ends."""

from __future__ import annotations

import pytest

from stablehand_dev.demo.reading import Decided, Reading
from stablehand_dev.demo.settling import Settling


def reading(*actions):
    return Reading(decisions=tuple(Decided(action, "gthread 2 × 8", "because") for action in actions))


def test_nothing_has_settled_before_anything_was_decided():
    settling = Settling(quiet=10)
    assert not any(settling.settled(now, reading()) for now in range(100))


@pytest.mark.parametrize("action", ["try", "canary", "promote", "apply"])
def test_a_change_on_trial_has_not_settled_however_long_it_takes(action):
    settling = Settling(quiet=10)
    assert not any(settling.settled(now, reading(action)) for now in range(100))


def test_it_has_settled_so_many_quiet_seconds_after_the_last_decision():
    settling = Settling(quiet=10)
    assert not settling.settled(0, reading("apply"))
    assert not settling.settled(20, reading("apply", "keep"))
    assert not settling.settled(29, reading("apply", "keep"))
    assert settling.settled(30, reading("apply", "keep"))


def test_a_further_decision_begins_the_quiet_time_anew():
    settling = Settling(quiet=10)
    assert not settling.settled(0, reading("apply", "keep"))
    assert not settling.settled(9, reading("apply", "keep", "apply"))
    assert not settling.settled(12, reading("apply", "keep", "apply", "roll_back"))
    assert settling.settled(22, reading("apply", "keep", "apply", "roll_back"))
