"""Apps that set a handler of SIGTERM: their workers finish what is in flight, as gunicorn's gthread does, and go."""

from __future__ import annotations

import json
import signal
import threading

import pytest

pytestmark = pytest.mark.integration

CLASSES = ["sync", "gthread", "gevent", "eventlet", "tornado", "asgi"]
APP = """
import os, pathlib, signal, sys, time

def stop(*_):
    with open(f"handled-{os.getpid()}", "a") as file:
        file.write("once ")
    HABIT

signal.signal(signal.SIGTERM, stop)

def app(environ, start_response):
    if environ["PATH_INFO"] == "/slow":
        pathlib.Path(f"inside-{os.getpid()}").touch()
        time.sleep(1.5)
    body = str(os.getpid()).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""
EXITS, INTERRUPTS, TAKES_NOTE = "sys.exit(0)", "raise KeyboardInterrupt", "pass"
ASGI_APP = (
    APP.split("def app", maxsplit=1)[0]
    + """
import asyncio

async def app(scope, receive, send):
    if scope["type"] != "http":
        raise RuntimeError("no lifespan")
    if scope["path"] == "/slow":
        pathlib.Path(f"inside-{os.getpid()}").touch()
        await asyncio.sleep(1.5)
    body = str(os.getpid()).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})
"""
)


def answer_to_what_is_in_flight(program, until, tell):
    """Return who serves, and what a request is answered that is inside the app when the program is told something."""
    worker = program.get()
    answers = []
    asking = threading.Thread(target=lambda: answers.append(program.get(path="/slow")))
    asking.start()
    until((program.directory / f"inside-{worker}").exists)
    tell()
    asking.join()
    return worker, *answers


def finishes_what_is_in_flight(program, until, running):
    """Check a reload, and then the end."""
    worker, answer = answer_to_what_is_in_flight(program, until, lambda: program.process.send_signal(signal.SIGHUP))
    assert answer == worker
    until(lambda: int(worker) not in running(program))
    handled = program.directory / f"handled-{worker}"
    assert handled.read_text() == "once "

    worker, answer = answer_to_what_is_in_flight(program, until, lambda: program.process.send_signal(signal.SIGTERM))
    assert answer == worker
    assert program.process.wait(timeout=20) == 0


@pytest.mark.parametrize("name", ["gunicorn", "stablehand-server"])
def test_gthread_finishes_what_is_in_flight_when_the_apps_handler_exits(run, until, running, *, commands, name):
    flags = ("--worker-class", "gthread", "--threads", "4", "--graceful-timeout", "10")
    program = run(*flags, command=commands[name], files={"hello.py": APP.replace("HABIT", EXITS)})
    until(program.get)
    finishes_what_is_in_flight(program, until, running)


@pytest.mark.parametrize("habit", [EXITS, TAKES_NOTE], ids=["exits", "takes note"])
@pytest.mark.parametrize("worker_class", CLASSES)
def test_every_class_finishes_what_is_in_flight_whatever_the_apps_handler_does(
    run, until, running, *, worker_class, habit
):
    flags = ("--worker-class", worker_class, "--threads", "4", "--graceful-timeout", "10")
    program = run(*flags, files={"hello.py": APP.replace("HABIT", habit)}).ready()
    finishes_what_is_in_flight(program, until, running)
    assert "TIMEOUT" not in program.log()


@pytest.mark.parametrize("habit", [EXITS, INTERRUPTS], ids=["exits", "interrupts"])
def test_an_asgi_app_may_have_such_a_handler_too(run, until, running, habit):
    program = run("--worker-class", "asgi", files={"hello.py": ASGI_APP.replace("HABIT", habit)}).ready()
    finishes_what_is_in_flight(program, until, running)


def test_a_live_change_of_class_finishes_what_is_in_flight_when_the_apps_handler_exits(run, until):
    files = {"hello.py": APP.replace("HABIT", EXITS)}
    program = run(
        "--worker-class", "gthread", "--threads", "8", "--settings-file", "settings.json", files=files
    ).ready()
    fields = {"workerClass": "sync", "workers": 1, "threads": 1, "workerConnections": 1000}
    settings = program.directory / "settings.json"
    worker, answer = answer_to_what_is_in_flight(program, until, lambda: settings.write_text(json.dumps(fields)))

    assert answer == worker
    until(lambda: program.rolled(1))
    until(lambda: program.get() not in ("", worker))
