from __future__ import annotations

import asyncio
import contextlib

import pytest

from stablehand_operator import workqueue
from stablehand_operator.workqueue import RetryLater, WorkQueue


@contextlib.asynccontextmanager
async def running(queue):
    task = asyncio.create_task(queue.run())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def until(condition):
    deadline = asyncio.get_running_loop().time() + 5
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, "waited 5 s"
        await asyncio.sleep(0.005)


async def test_a_key_is_worked_on_once_however_often_it_is_added_before():
    worked = []

    async def work(key):
        worked.append(key)

    queue = WorkQueue(work)
    for _ in range(10):
        queue.add("shop")
    queue.add("other")
    async with running(queue):
        await until(lambda: len(worked) == 2)

    assert sorted(worked) == ["other", "shop"]


async def test_a_key_added_during_its_work_is_worked_on_again_and_never_by_two_at_once():
    at_once, most, rounds = 0, 0, 0
    go_on = asyncio.Event()

    async def work(_):
        nonlocal at_once, most, rounds
        at_once += 1
        most = max(most, at_once)
        rounds += 1
        await go_on.wait()
        at_once -= 1

    queue = WorkQueue(work)
    queue.add("shop")
    async with running(queue):
        await until(lambda: rounds == 1)
        queue.add("shop")
        queue.add("shop")
        go_on.set()
        await until(lambda: rounds == 2)

    assert (most, rounds) == (1, 2)


@pytest.mark.parametrize("error", [RetryLater("not yet"), RuntimeError("a bug")])
async def test_work_that_fails_is_tried_again(monkeypatch, error):
    monkeypatch.setattr(workqueue, "_FIRST_WAIT_SECONDS", 0.01)
    attempts = 0

    async def work(_):
        nonlocal attempts
        attempts += 1
        if attempts < 3:
            raise error

    queue = WorkQueue(work)
    queue.add("shop")
    async with running(queue):
        await until(lambda: attempts == 3)


async def test_one_key_s_trouble_does_not_hold_up_another():
    worked = []

    async def work(key):
        if key == "stuck":
            await asyncio.Event().wait()
        worked.append(key)

    queue = WorkQueue(work, workers=2)
    queue.add("stuck")
    queue.add("shop")
    async with running(queue):
        await until(lambda: worked == ["shop"])
