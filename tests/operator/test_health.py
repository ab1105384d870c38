from __future__ import annotations

import aiohttp
import pytest

from stablehand_operator.health import Health
from stablehand_operator.http_server import serve
from stablehand_operator.inventory import AppKey
from stablehand_operator.telemetry import Telemetry

SHOP = AppKey("default", "shop")


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def health(clock):
    return Health(60, clock)


def go_on(health, clock, seconds, version=None):
    """Let time pass in which listings and ticks go on."""
    for _ in range(seconds // 10):
        clock.now += 10
        health.listed({} if version is None else {SHOP: version})
        health.ticked()


def test_an_operator_that_lists_and_ticks_sees(health, clock):
    go_on(health, clock, 600)

    assert health.blindness() is None


def test_without_a_listing_for_too_long_it_is_blind(health, clock):
    clock.now = 61
    health.ticked()

    assert "no listing" in health.blindness()


def test_without_a_tick_for_too_long_it_is_blind(health, clock):
    clock.now = 61
    health.listed({})

    assert "no tuning tick" in health.blindness()


def test_a_watch_that_does_not_deliver_what_the_listing_shows_is_blind(health, clock):
    health.watched(SHOP, 5)
    go_on(health, clock, 120, version=6)

    assert "version 6 of default/shop" in health.blindness()


def test_a_watch_that_catches_up_sees_again(health, clock):
    go_on(health, clock, 120, version=6)
    health.watched(SHOP, 6)

    assert health.blindness() is None


def test_a_watch_that_is_always_a_little_behind_sees(health, clock):
    for version in range(1, 100):
        go_on(health, clock, 10, version=version)
        health.watched(SHOP, version)

    assert health.blindness() is None


def test_an_app_that_is_gone_is_not_waited_for(health, clock):
    go_on(health, clock, 30, version=6)
    go_on(health, clock, 120)

    assert health.blindness() is None


def test_an_operator_that_waits_for_the_definition_is_not_blind(health, clock):
    for _ in range(100):
        clock.now += 10
        health.waiting()

    assert health.blindness() is None


async def test_the_probes_answer_as_the_operator_is(health, clock, free_port):
    telemetry = Telemetry()
    url = f"http://127.0.0.1:{free_port}"
    async with serve(("127.0.0.1", free_port), health, telemetry), aiohttp.ClientSession() as session:

        async def status(path):
            async with session.get(url + path) as response:
                return response.status

        assert (await status("/healthz"), await status("/readyz")) == (200, 503)
        health.listed({})
        assert await status("/readyz") == 200
        clock.now = 100
        assert await status("/healthz") == 503
        async with session.get(url + "/metrics") as response:
            assert "stablehand_operator_reconciles_total" in await response.text()
