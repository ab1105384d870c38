from __future__ import annotations

import asyncio
import time

import pytest

from stablehand_bench.apps import backend, workload
from stablehand_bench.tuner import calibration, workloads


def ask(path):
    said = []
    body = workload.app({"PATH_INFO": path}, lambda status, headers: said.append((status, dict(headers))))
    return said[0][0], b"".join(body)


@pytest.mark.parametrize(
    "path", sorted({each.path for each in workloads.ALL if not each.asgi and each.path != "/backend"})
)
def test_every_path_of_a_workload_is_served(path, monkeypatch):
    monkeypatch.setattr(workload, "_LOOPS", 1)

    assert ask(path) == ("200 OK", b"Hello, world!\n")


def test_an_unknown_path_is_an_error_and_not_a_fast_answer():
    with pytest.raises(KeyError):
        ask("/nothing")


def test_a_wait_lasts_as_long_as_it_says_and_computes_nothing():
    wall, computed = time.monotonic(), time.thread_time()
    ask("/wait/30")

    assert time.monotonic() - wall >= 0.03
    assert time.thread_time() - computed < 0.03


def test_a_wait_within_c_lasts_as_long_as_it_says():
    began = time.monotonic()
    ask("/block/20")

    assert time.monotonic() - began >= 0.02


def test_a_cache_is_filled_once_in_a_process(monkeypatch):
    monkeypatch.setattr(workload, "_CACHE_BYTES", 1000)
    monkeypatch.setattr(workload, "_caches", {0: b"a parent's"})
    ask("/hold/0")
    (filled,) = workload._caches.values()
    ask("/hold/0")

    assert len(filled) == 1000
    assert next(iter(workload._caches.values())) is filled


async def test_the_asgi_app_does_the_same(monkeypatch):
    monkeypatch.setattr(workload, "_LOOPS", 1)
    sent = []

    async def send(message):
        sent.append(message)

    await workload.asgi_app({"type": "http", "path": "/both/1/1"}, None, send)

    assert [sent[0]["status"], sent[1]["body"]] == [200, b"Hello, world!\n"]


def test_a_millisecond_is_some_turns_of_the_loop(monkeypatch):
    monkeypatch.setattr(calibration, "_TRIES", 2)

    assert calibration.turns_per_millisecond() > 100


async def test_the_backend_serves_ten_at_a_time_and_counts_who_waits(monkeypatch):
    monkeypatch.setattr(backend, "WORK_SECONDS", 0.01)
    began = time.monotonic()
    pool = backend.Backend()
    await asyncio.gather(*(pool._work() for _ in range(25)))

    assert time.monotonic() - began >= 0.03
    assert (pool._peak, pool._present) == (25, 0)
