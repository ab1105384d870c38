from __future__ import annotations

import asyncio
import functools
import gzip
import socket
import time

import pytest
from aiohttp import web

from stablehand_operator import scrape as scraping
from stablehand_operator.scrape import ScrapeFailed, metrics_url, new_session, scrape
from stablehand_tuner.contracts.settings import Settings, WorkerClass

SETTINGS = Settings(WorkerClass.SYNC, 1)


@pytest.fixture
async def session():
    async with new_session() as session:
        yield session


async def test_a_pod_s_metrics_become_a_snapshot(session, start_pod, make_exposition):
    pod = await start_pod()
    pod.text = make_exposition(SETTINGS, requests=7)

    snapshot = await scrape(session, pod.url, timeout=2, at=5.0)

    assert (snapshot.at, snapshot.workers[0].requests, snapshot.settings_active) == (5.0, 7, SETTINGS)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "incomplete"),
        ("stablehand_worker_requests_total{worker=", "malformed"),
        ("\x00\x01\x02", "malformed"),
        ("{}", "malformed"),
        ('stablehand_worker_requests_total{worker="0",code="2xx"} NaN\n', "incomplete"),
        ('stablehand_worker_requests_total{worker="0",code="2xx"} -1\n', "incomplete"),
        ("x" * (scraping.LARGEST_BYTES + 1), "too_large"),
    ],
)
async def test_a_pod_that_talks_nonsense_counts_as_missing(session, start_pod, text, reason):
    pod = await start_pod()
    pod.text = text

    with pytest.raises(ScrapeFailed) as failed:
        await scrape(session, pod.url, timeout=2, at=0)

    assert failed.value.reason == reason


async def test_a_large_but_honest_pod_is_understood(session, start_pod, make_exposition):
    pod = await start_pod()
    pod.text = make_exposition(SETTINGS) + "# padding\n" * 20_000

    assert (await scrape(session, pod.url, timeout=5, at=0)).settings_active == SETTINGS


async def slow(_: web.Request) -> web.Response:
    await asyncio.sleep(30)
    return web.Response()


async def trickle(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/plain"})
    await response.prepare(request)
    for _ in range(300):
        await response.write(b"# still coming\n")
        await asyncio.sleep(0.1)
    return response


@pytest.mark.parametrize("respond", [slow, trickle])
async def test_a_slow_pod_has_its_time_and_no_more(session, start_pod, respond):
    pod = await start_pod()
    pod.respond = respond
    started = time.monotonic()

    with pytest.raises(ScrapeFailed) as failed:
        await scrape(session, pod.url, timeout=0.3, at=0)

    assert failed.value.reason == "timeout"
    assert time.monotonic() - started < 2


async def test_a_slow_pod_never_blocks_another(session, start_pod, make_exposition):
    fast, stuck = await start_pod(), await start_pod()
    fast.text = make_exposition(SETTINGS)
    stuck.respond = slow
    waiting = asyncio.create_task(scrape(session, stuck.url, timeout=5, at=0))

    await asyncio.wait_for(scrape(session, fast.url, timeout=5, at=0), 2)

    assert not waiting.done()
    waiting.cancel()


async def redirect(_: web.Request) -> web.Response:
    return web.Response(status=302, headers={"Location": "http://127.0.0.1:1/elsewhere"})


async def fail(_: web.Request) -> web.Response:
    return web.Response(status=500)


async def page(_: web.Request) -> web.Response:
    return web.Response(text="<html></html>", content_type="text/html")


@functools.cache
def packed() -> bytes:
    """Return 50 MB in 50 kB; to pack them takes longer than a scrape may."""
    return gzip.compress(b"\n" * 50_000_000)


async def bomb(_: web.Request) -> web.Response:
    return web.Response(body=packed(), headers={"Content-Type": "text/plain", "Content-Encoding": "gzip"})


@pytest.mark.parametrize(
    ("respond", "reason"), [(redirect, "status"), (fail, "status"), (page, "malformed"), (bomb, "malformed")]
)
async def test_what_is_no_metrics_page_is_not_followed_read_or_unpacked(session, start_pod, respond, reason):
    pod = await start_pod()
    pod.respond = respond
    packed()

    with pytest.raises(ScrapeFailed) as failed:
        await scrape(session, pod.url, timeout=10, at=0)

    assert failed.value.reason == reason


async def test_a_pod_that_is_not_there_is_unreachable(session):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}/metrics"

        with pytest.raises(ScrapeFailed) as failed:
            await scrape(session, url, timeout=2, at=0)

    assert failed.value.reason == "unreachable"


def test_an_ipv6_address_is_put_in_brackets():
    assert metrics_url("fd00::7") == "http://[fd00::7]:9464/metrics"
    assert metrics_url("10.1.2.3") == "http://10.1.2.3:9464/metrics"
