from __future__ import annotations

from stablehand_server.master.backoff import GrowingPause


def pauses(pause, attempts):
    """Return how long each of so many failures in a row makes one wait, to the second."""
    waited, now = [], 0
    for _ in range(attempts):
        pause.failed(now)
        seconds = next(seconds for seconds in range(100) if pause.over(now + seconds))
        waited.append(seconds)
        now += seconds
    return waited


def test_the_first_attempt_is_at_once():
    assert GrowingPause(1, 8).over(0.0)


def test_each_pause_is_twice_as_long_as_the_one_before_up_to_the_limit():
    assert pauses(GrowingPause(1, 6), 5) == [1, 2, 4, 6, 6]


def test_what_fails_within_a_pause_makes_it_no_longer():
    pause = GrowingPause(1, 8)
    for _ in range(4):  # as many workers that began to boot together
        pause.failed(10.0)

    assert (pause.failures, pause.left(10.25), pause.left(12.0)) == (4, 0.75, 0.0)
    pause.failed(11.0)
    assert pause.left(11.0) == 2.0


def test_a_success_makes_the_next_pause_short_and_forgets_the_failures():
    pause = GrowingPause(1, 8)
    pauses(pause, 3)
    assert pause.failures == 3
    pause.succeeded()

    assert pause.failures == 0
    assert pauses(pause, 1) == [1]


def test_a_reset_ends_the_pause():
    pause = GrowingPause(5, 8)
    pause.failed(10.0)
    pause.reset()

    assert pause.over(10.0)
    assert pause.failures == 0
