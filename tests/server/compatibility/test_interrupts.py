"""SIGINT, as Ctrl-C in a terminal sends it to the whole group: threads answer what they have, as under gunicorn."""

from __future__ import annotations

import os
import signal
import threading

import pytest

pytestmark = pytest.mark.integration

APP = """
import os, pathlib, time

def app(environ, start_response):
    seconds = environ["QUERY_STRING"]
    if seconds:
        pathlib.Path("inside").touch()
        time.sleep(float(seconds))
    body = str(os.getpid()).encode() * (100_000 if seconds else 1)
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""
HOOK = """
import os

def worker_int(worker):
    with open("interrupted", "a") as file:
        file.write(f"{os.getpid()} ")
"""
FILES = {"hello.py": APP, "gunicorn.conf.py": HOOK}
LONGER_THAN_A_REMINDER_SECONDS = "1.6"  # a master that repeated its signal would do so each second


@pytest.fixture
def interrupted(run, commands, until):
    """Interrupt a program that has a request of so many seconds; return it, its worker and where the answer comes."""
    asking = []

    def interrupt(name, worker_class, seconds):
        flags = ("--worker-class", worker_class, "--threads", "4")
        program = run(*flags, command=commands[name], files=FILES)
        until(program.get)
        worker, answers = program.get(), []
        asking.append(threading.Thread(target=lambda: answers.append(program.get(path=f"/?{seconds}"))))
        asking[-1].start()
        until((program.directory / "inside").exists)
        program.process.send_signal(signal.SIGINT)
        if name != "gunicorn":  # whose master's own signal, if it comes late, is the second one of the worker
            os.kill(int(worker), signal.SIGINT)
        until((program.directory / "interrupted").exists)
        return program, worker, answers

    yield interrupt
    for each in asking:
        each.join()


@pytest.mark.parametrize(
    ("name", "worker_class"), [("gunicorn", "gthread"), ("stablehand-server", "gthread"), ("stablehand-server", "asgi")]
)
def test_threads_answer_what_they_have_before_an_interrupted_worker_ends(interrupted, until, name, worker_class):
    program, worker, answers = interrupted(name, worker_class, LONGER_THAN_A_REMINDER_SECONDS)

    assert program.process.wait(timeout=20) == 0
    until(lambda: answers == [worker * 100_000])
    if name != "gunicorn":  # which calls it for each signal
        # Beside it there may be a successor, booted in the moment before the master ended.
        assert (program.directory / "interrupted").read_text().split().count(worker) == 1


def test_a_second_interrupt_ends_a_worker_with_threads_at_once(interrupted, until):
    program, worker, answers = interrupted("stablehand-server", "gthread", "600")

    os.kill(int(worker), signal.SIGINT)
    assert program.process.wait(timeout=20) == 0
    until(lambda: answers == [""])
