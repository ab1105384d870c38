from __future__ import annotations

import math

import pytest

from stablehand_server.measure.connection_lifetimes import ConnectionLifetimes, end_of


class Clock:
    """A clock that a test sets."""

    now = 100.0

    def __call__(self):
        """Return the time."""
        return self.now


@pytest.fixture
def clock():
    return Clock()


def test_a_connection_ends_with_the_first_response_after_its_time(clock):
    lifetimes = ConnectionLifetimes(10.0, clock=clock, chance=lambda: 0.5)
    seen = []
    for second in range(25):
        clock.now = 100.0 + second
        seen.append(lifetimes.is_over(("10.0.0.1", 4711)))

    assert [second for second, is_over in enumerate(seen) if is_over] == [10, 21], "the second is another connection"


def test_a_client_that_is_seldom_there_counts_no_more_than_one_that_always_is(clock):
    """However many connections are idle: each has its own time."""
    lifetimes = ConnectionLifetimes(10.0, clock=clock, chance=lambda: 0.0)
    for port in range(1000):
        assert not lifetimes.is_over(("10.0.0.1", port))
    clock.now = 104.9
    assert not any(lifetimes.is_over(("10.0.0.1", 7)) for _ in range(100))


def test_connections_of_one_moment_end_at_different_times(clock):
    lifetimes = ConnectionLifetimes(10.0, clock=clock)
    ends = [lifetimes.end() for _ in range(200)]

    assert min(ends) >= 105.0
    assert max(ends) <= 115.0
    assert max(ends) - min(ends) > 5.0


def test_clients_that_have_left_are_forgotten(clock):
    lifetimes = ConnectionLifetimes(10.0, clock=clock, chance=lambda: 0.0)
    for port in range(20_000):
        clock.now += 0.01
        lifetimes.is_over(("10.0.0.1", port))

    assert len(lifetimes._ends) <= 4096


@pytest.mark.parametrize("proxy", ["", None, b"", "/run/socket"])
def test_what_comes_through_a_unix_socket_has_no_limit(clock, proxy):
    lifetimes = ConnectionLifetimes(1.0, clock=clock)
    lifetimes.is_over(proxy)
    clock.now += 100.0

    assert not lifetimes.is_over(proxy)


def test_none_ends_where_there_is_no_limit():
    assert ConnectionLifetimes.of(0) is None
    assert end_of(None) == math.inf
