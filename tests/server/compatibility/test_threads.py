"""What an app does with a worker's threads: it interrupts them, forks in them, and starts others that go on."""

from __future__ import annotations

import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

pytestmark = pytest.mark.integration

APP = """
import ctypes, os, pathlib, sys, threading, time

class Late(BaseException):
    pass

def interrupt_later(thread):
    time.sleep(0.3)  # the request has ended by then
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(Late))
    pathlib.Path("interrupted").touch()

def await_file(name):
    while not pathlib.Path(name).exists():
        time.sleep(0.01)

def work(name):
    await_file("go-on")
    time.sleep(0.3)
    pathlib.Path(name).touch()

def app(environ, start_response):
    path, query = environ["PATH_INFO"], environ["QUERY_STRING"]
    if path == "/late":
        threading.Thread(target=interrupt_later, args=(threading.get_ident(),), daemon=True).start()
    elif path == "/fork" and os.fork() == 0:
        pathlib.Path(f"child-{os.getpid()}").touch()
        if query == "exits":
            sys.exit(0)
        raise RuntimeError("in the child")
    elif path == "/background":
        threading.Thread(target=work, args=(query,)).start()
    elif path == "/slow":
        pathlib.Path("inside").touch()
        await_file("go-on")
    elif path == "/short":
        time.sleep(0.02)
    body = str(os.getpid()).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""
HOOK = """
import pathlib

def worker_abort(worker):
    pathlib.Path("aborted").touch()
"""
FILES = {"hello.py": APP, "gunicorn.conf.py": HOOK}
EACH = [("gunicorn", "gthread"), ("stablehand-server", "gthread"), ("stablehand-server", "asgi")]


@pytest.mark.parametrize(("name", "worker_class"), EACH)
def test_threads_that_an_app_interrupts_or_forks_leave_a_worker_that_serves(
    run, until, *, commands, name, worker_class
):
    program = run("--worker-class", worker_class, "--threads", "4", command=commands[name], files=FILES)
    until(program.get)
    worker = program.get()

    program.get(path="/late")
    until((program.directory / "interrupted").exists)
    with ThreadPoolExecutor(8) as clients:
        answers = list(clients.map(lambda _: program.get(path="/short"), range(24)))
    assert answers.count(worker) >= 23  # what the interrupted thread takes is lost

    for number, end in enumerate(("exits", "raises"), 1):
        program.get(path=f"/fork?{end}")
        until(lambda number=number: len(list(program.directory.glob("child-*"))) == number)
    assert {program.get() for _ in range(20)} == {worker}
    with ThreadPoolExecutor(8) as clients:
        assert set(clients.map(lambda _: program.get(path="/short"), range(24))) == {worker}
    if name != "gunicorn":  # which waits for what is lost until its grace is over
        program.process.send_signal(signal.SIGTERM)
        assert program.process.wait(timeout=20) == 0


@pytest.mark.parametrize(("name", "worker_class"), EACH)
def test_what_threads_do_and_have_started_is_finished(run, until, *, commands, name, worker_class):
    program = run("--worker-class", worker_class, "--threads", "4", command=commands[name], files=FILES)
    until(program.get)
    worker, answers = program.get(), []
    program.get(path="/background?by-the-first")
    asking = threading.Thread(target=lambda: answers.append(program.get(path="/slow")))
    asking.start()
    until((program.directory / "inside").exists)
    os.kill(int(worker), signal.SIGABRT)
    until((program.directory / "aborted").exists)
    (program.directory / "go-on").touch()
    asking.join()
    assert answers == [worker]
    until((program.directory / "by-the-first").exists)

    until(lambda: program.get() not in ("", worker))
    program.get(path="/background?by-the-second")
    program.process.send_signal(signal.SIGTERM)
    assert program.process.wait(timeout=20) == 0
    assert (program.directory / "by-the-second").exists()
