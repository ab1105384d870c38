"""The first start of an app that ends its process while it boots: gunicorn's rule of which ends are for good."""

from __future__ import annotations

import re

import pytest

pytestmark = pytest.mark.integration

APP = """
import os, pathlib, signal, sys

if not pathlib.Path("database").exists():
    HABIT

def app(environ, start_response):
    start_response("200 OK", [("Content-Length", "2")])
    return [b"up"]
"""
TRIED_AGAIN = {
    "exits with 1": "sys.exit(1)",
    "exits with 0": "sys.exit(0)",
    "exits with 5 at once": "os._exit(5)",
    "aborts": "os.kill(os.getpid(), signal.SIGABRT)",
}
FOR_GOOD = {"raises": ("1 / 0", 3), "exits with 3": ("sys.exit(3)", 3), "exits with 4 at once": ("os._exit(4)", 4)}
HOOK = """
import pathlib, sys

def post_worker_init(worker):
    if not pathlib.Path("database").exists():
        sys.exit(1)
"""
BOOTS = re.compile(r"Booting worker with pid")


def serves_later(program, until):
    """Tell what it answers once its database is there, after it has tried several times in vain."""
    until(lambda: len(BOOTS.findall(program.log())) >= 2)
    assert program.process.poll() is None, program.log()
    (program.directory / "database").touch()
    until(lambda: program.get() == "up")


@pytest.mark.parametrize("habit", TRIED_AGAIN)
def test_an_app_that_only_ends_its_process_is_booted_again_until_it_works(run, until, commands, habit):
    files = {"hello.py": APP.replace("HABIT", TRIED_AGAIN[habit])}
    programs = {name: run(command=command, files=files) for name, command in commands.items()}
    for program in programs.values():
        serves_later(program, until)

    assert re.search(r"A worker did not boot: .*; the next boot is tried in 1 s", programs["stablehand-server"].log())


def test_so_is_one_whose_hook_ends_the_process(run, until, commands):
    for command in commands.values():
        serves_later(
            run(command=command, files={"hello.py": APP.replace("HABIT", "pass"), "gunicorn.conf.py": HOOK}), until
        )


def test_with_reload_too(run, until, commands):
    for command in commands.values():
        serves_later(run("--reload", command=command, files={"hello.py": APP.replace("HABIT", "sys.exit(5)")}), until)


@pytest.mark.parametrize("habit", ["raise KeyboardInterrupt", "raise GeneratorExit"])
def test_what_is_raised_past_the_worker_ends_the_worker_alone(run, until, habit):
    # In gunicorn the child of a KeyboardInterrupt goes on as if it were the master, and removes the pid file.
    program = run("--workers", "2", "--pid", "pid", files={"hello.py": APP.replace("HABIT", habit)})
    serves_later(program, until)

    assert (program.directory / "pid").exists()


@pytest.mark.parametrize("habit", FOR_GOOD)
def test_a_boot_that_says_that_it_has_failed_ends_the_server_with_gunicorns_status(run, commands, habit):
    fault, status = FOR_GOOD[habit]
    files = {"hello.py": APP.replace("HABIT", fault)}
    statuses = {name: run(command=each, files=files).process.wait(timeout=20) for name, each in commands.items()}

    assert statuses == {"gunicorn": status, "stablehand-server": status}


def test_so_does_one_of_several_workers(run):
    # gunicorn's own status is 1 where a second worker fails while the first one's end is being dealt with.
    program = run("--workers", "4", files={"hello.py": APP.replace("HABIT", "os._exit(3)")})

    assert program.process.wait(timeout=20) == 3
