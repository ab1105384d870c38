"""One worker more, then one fewer: operators replace their workers that way, for the oldest is the one that goes."""

from __future__ import annotations

import re
import signal

import pytest

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("waits", [True, False], ids=["once it is there", "at once"])
def test_the_oldest_worker_goes_so_that_repeating_it_replaces_every_one(run, commands, until, *, running, waits):
    # from one: workers that boot at the same moment may tell of it in another order than that of their age
    programs = [run("--workers", "1", command=each) for each in commands.values()]
    for program in programs:
        until(program.get)
        program.process.send_signal(signal.SIGTTIN)
        until(lambda program=program: len(workers(program, running)) == 2)
    first = [workers(program, running) for program in programs]

    for cycle in (1, 2):
        for program in programs:
            program.process.send_signal(signal.SIGTTIN)
        for program in programs:
            boots = 2 + cycle
            until(lambda program=program, boots=boots: len(booted(program)) == boots)
            if waits:
                until(lambda program=program: len(workers(program, running)) == 3)
        for program in programs:
            program.process.send_signal(signal.SIGTTOU)
        for program in programs:
            until(lambda program=program, cycle=cycle: program.log().count("Handling signal: ttou") == cycle)
            until(lambda program=program: len(workers(program, running)) == 2)
            assert workers(program, running) == set(booted(program)[-2:])
    for program, before in zip(programs, first, strict=True):
        assert not before & workers(program, running)


def booted(program):
    """Return its workers in the order in which they were booted."""
    return [int(pid) for pid in re.findall(r"Booting worker with pid: (\d+)", program.log())]


def workers(program, running):
    """Return its living workers."""
    return set(booted(program)) & set(running(program))
