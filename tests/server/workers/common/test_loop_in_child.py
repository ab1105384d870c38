from __future__ import annotations

import asyncio
import os
import socket

import pytest

from stablehand_server.workers.common.loop_in_child import LoopInChild


def in_child(function):
    """Return the exit status of a process that is forked to call a function: its result, or 99 where that raises."""
    pid = os.fork()
    if pid == 0:
        status = 99
        try:
            status = function()
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_a_loop_in_a_child_leaves_what_its_parent_waits_for_to_it():
    loop = asyncio.new_event_loop()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        got = loop.create_future()
        loop.add_reader(ours, lambda: got.set_result(ours.recv(9)))

        def part_and_end():
            LoopInChild(loop, 1.0)
            loop.remove_reader(ours)
            loop.call_soon_threadsafe(loop.stop)
            loop.run_forever()
            loop.close()
            return 7

        assert in_child(part_and_end) == 7
        loop.call_later(10.0, loop.stop)
        theirs.send(b"read")
        assert loop.run_until_complete(got) == b"read"
    loop.close()


@pytest.mark.parametrize(("work_seconds", "status"), [(0.1, 1), (60.0, 0)], ids=["done", "cut"])
def test_a_child_ends_when_the_task_that_forked_it_is_done_or_its_time_is_over(work_seconds, status):
    """The task would finish after some time; status 1 says that it did."""
    loop = asyncio.new_event_loop()
    finished = []

    async def forks_and_works():
        child = LoopInChild(loop, 0.3)
        ended = loop.create_task(child.end())
        moment = loop.create_future()
        loop.call_later(work_seconds, moment.set_result, None)
        await moment
        finished.append(True)
        return ended

    def work():
        try:
            loop.run_until_complete(loop.create_task(forks_and_works()))
            loop.run_forever()
        except SystemExit:
            return len(finished)
        return 98

    assert in_child(work) == status
    loop.close()
