from __future__ import annotations

import asyncio
import threading

import pytest

from stablehand_bench.apps.hazards import greenlets, logins, shared_buffer, upstream
from stablehand_bench.apps.hazards.page import greeting, page


def ask(app, path="/", query="user=0007", **environ):
    said = []
    body = app(
        {"PATH_INFO": path, "QUERY_STRING": query, **environ}, lambda status, headers: said.append((status, headers))
    )
    return said[0][0], dict(said[0][1]), b"".join(body).decode()


def test_readiness_is_told_without_the_work_and_a_user_is_greeted_after_it():
    worked = []
    app = page(lambda: worked.append(1))

    assert ask(app, "/ready")[0] == "200 OK"
    assert worked == []
    assert ask(app)[2] == greeting("0007")
    assert worked == [1]


def test_a_login_is_known_to_its_process_alone(monkeypatch):
    monkeypatch.setattr(logins, "_TURNS", 1)
    monkeypatch.setattr(logins, "_sessions", {})
    _, headers, _ = ask(logins.app, "/login")
    cookie = headers["Set-Cookie"]

    assert ask(logins.app, HTTP_COOKIE=cookie)[2] == greeting("0007")
    assert ask(logins.app)[0] == "401 Unauthorized"
    monkeypatch.setattr(logins, "_sessions", {})
    assert ask(logins.app, HTTP_COOKIE=cookie)[0] == "401 Unauthorized"


def test_the_shared_buffer_is_right_for_one_and_wrong_for_two_at_once(monkeypatch):
    barrier = threading.Barrier(2)
    monkeypatch.setattr(shared_buffer.time, "sleep", lambda _seconds: barrier.wait(10))
    answers = []
    threads = [
        threading.Thread(target=lambda name=name: answers.append(ask(shared_buffer.app, query=f"user={name}")[2]))
        for name in ("0001", "0002")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(answers) != [greeting("0001"), greeting("0002")]
    monkeypatch.setattr(shared_buffer.time, "sleep", lambda _seconds: None)
    assert ask(shared_buffer.app)[2] == greeting("0007")


def test_the_library_refuses_a_second_operation_in_its_thread_and_serves_other_threads(monkeypatch):
    monkeypatch.setattr(greenlets, "_busy", {})
    inner = []

    def meanwhile(_seconds):
        monkeypatch.setattr(greenlets.time, "sleep", lambda _seconds: None)
        with pytest.raises(RuntimeError, match="in progress"):
            greenlets._ask_library()
        other = threading.Thread(target=lambda: inner.append(greenlets._ask_library()))
        other.start()
        other.join()

    monkeypatch.setattr(greenlets.time, "sleep", meanwhile)
    greenlets._ask_library()

    assert inner == [None]


async def test_the_upstream_refuses_whom_it_has_no_place_for(monkeypatch):
    monkeypatch.setattr(upstream, "_LIMITED_SECONDS", 0.01)
    server = upstream.Upstream()
    statuses = await asyncio.gather(*(server.status("/limited") for _ in range(15)))

    assert sorted(statuses) == [200] * 12 + [429] * 3
    assert await server.status("/limited") == 200


async def test_the_slowing_upstream_takes_longer_the_more_there_are(monkeypatch):
    slept = []

    async def note(seconds):
        slept.append(seconds)

    server = upstream.Upstream()
    monkeypatch.setattr(upstream.asyncio, "sleep", note)
    await server.status("/slowing")
    server._present = 63
    await server.status("/slowing")

    assert slept == pytest.approx([0.01, 0.01 * (1 + 0.01 * 64 * 63)])
