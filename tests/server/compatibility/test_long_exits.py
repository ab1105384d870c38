"""At the server's end: workers that take long to exit come to their end, and each is told only once, as by gunicorn."""

from __future__ import annotations

import contextlib
import threading

import pytest

pytestmark = pytest.mark.integration

# Longer than the second in which a master would have repeated its signal.
HOOK = """
import pathlib, time

def worker_exit(server, worker):
    time.sleep(1.8)
    pathlib.Path("exited").touch()
"""
ASGI_APP = """
import asyncio, atexit, os, pathlib, signal, time

calls = []

def at_exit():
    time.sleep(0.5)
    pathlib.Path("atexit").touch()

atexit.register(at_exit)

def note():
    calls.append(1)
    pathlib.Path("calls").write_text(str(len(calls)))
    if len(calls) > 1:
        os._exit(9)  # a second signal is the order to drop everything

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        HANDLER
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    if scope["path"] == "/slow":
        pathlib.Path("inside").touch()
        await asyncio.sleep(2.5)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})
"""
OWN_HANDLER = "asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, note)"
AIOHTTP_APP = """
from aiohttp import web

async def hello(request):
    return web.Response(text="ok")

app = web.Application()
app.router.add_get("/", hello)
"""


def test_an_exit_that_takes_longer_than_a_second_is_not_cut(run, commands, until):
    apps = {"asgi": ASGI_APP.replace("HANDLER", "pass"), "aiohttp.GunicornWebWorker": AIOHTTP_APP}
    programs = [
        run(
            "-k",
            worker_class,
            "--graceful-timeout",
            "10",
            command=command,
            files={"hello.py": app, "gunicorn.conf.py": HOOK},
        )
        for worker_class, app in apps.items()
        for command in commands.values()
    ]
    for program in programs:
        until(program.get)
        program.process.terminate()

    for program in programs:
        assert program.process.wait(timeout=20) == 0
        assert (program.directory / "exited").exists(), program.log()
    assert all((program.directory / "atexit").exists() for program in programs[:2])


def test_an_apps_own_handler_in_asyncio_is_called_once_and_what_is_in_flight_is_answered(run, commands, until):
    files = {"hello.py": ASGI_APP.replace("HANDLER", OWN_HANDLER)}
    with contextlib.ExitStack() as asking:
        programs, answers = [], []
        for command in commands.values():
            program = run("-k", "asgi", "--graceful-timeout", "4", command=command, files=files)
            until(program.get)
            thread = threading.Thread(target=lambda program=program: answers.append(program.get(path="/slow")))
            thread.start()
            asking.callback(thread.join)
            programs.append(program)
        for program in programs:
            until((program.directory / "inside").exists)
            program.process.terminate()
        for program in programs:
            assert program.process.wait(timeout=20) == 0
            assert (program.directory / "calls").read_text() == "1"
    assert answers == ["ok", "ok"]
