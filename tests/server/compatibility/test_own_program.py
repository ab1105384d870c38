from __future__ import annotations

import signal
import sys

import pytest

pytestmark = pytest.mark.integration

PROGRAM = """
import json
import sys

from stablehand_server.application import LiveBaseApplication


def app(environ, start_response):
    start_response("200 OK", [])
    return [b"from a program"]


class Program(LiveBaseApplication):
    def load_config(self):
        self.cfg.set("bind", sys.argv[2])
        self.cfg.set("metrics_bind", "none")
        self.cfg.set("settings_file", "settings.json")
        with open("options.json") as file:
            for name, value in json.load(file).items():
                self.cfg.set(name, value)

    def load(self):
        return app


Program().run()
"""
SETTINGS = '{"workerClass": "gthread", "workers": 2, "threads": 3, "workerConnections": 10}'


@pytest.fixture
def program(run):
    """A program that starts the server by itself, with options from a file of its own."""
    files = {"program.py": PROGRAM, "options.json": '{"workers": 1}'}
    return run(command=(sys.executable, "program.py"), files=files).ready()


def test_a_program_of_its_own_has_live_settings(program, until):
    (program.directory / "settings.json").write_text(SETTINGS)
    until(lambda: program.rolled(1))

    assert "Serving with gthread 2 × 3" in program.log()
    assert program.get() == "from a program"


def test_a_custom_application_reloads_its_configuration_at_hup(program, until):
    (program.directory / "options.json").write_text('{"workers": 3}')
    program.process.send_signal(signal.SIGHUP)
    until(lambda: program.rolled(1))

    assert "Serving with sync 3" in program.log()
    assert program.get() == "from a program"


def test_a_program_of_its_own_survives_a_configuration_that_it_cannot_load(program, until):
    (program.directory / "options.json").write_text("{")
    program.process.send_signal(signal.SIGHUP)
    until(lambda: "Settings refused" in program.log())

    assert program.get() == "from a program"
    program.process.send_signal(signal.SIGTERM)
    assert program.process.wait(timeout=20) == 0
