from __future__ import annotations

import contextlib
import inspect
import io
import os
import sys
from pathlib import Path

import pytest
from gunicorn.app.wsgiapp import WSGIApplication
from gunicorn.config import KNOWN_SETTINGS, Chdir

from stablehand_server.application import LiveApplication

pytestmark = pytest.mark.integration

# Two defaults are others on purpose (docs/server.md); the rest of what differs are our own flags.
OTHER_DEFAULTS = {"control_socket_disable", "worker_tmp_dir"}
SETTINGS = {each.name: each for each in KNOWN_SETTINGS if each.section != "Stablehand"}
FLAGS = {name: next(flag for flag in each.cli if flag.startswith("--")) for name, each in SETTINGS.items() if each.cli}
SWITCHES = {name for name in FLAGS if (SETTINGS[name].action or "").startswith("store_")}
VALUES = [
    "7",
    "0",
    "-1",
    "name",
    "NAME=value",
    "127.0.0.1:8123",
    "gthread",
    "ignore",
    "{here}",
    "",
    "auto",
    "h2,h1",
    "drop",
]
VALUES += ["upgrade", "16384"]
SIDE_EFFECTS = {"print_config", "check_config", "config", "paste"}  # tested on real commands


@pytest.fixture(autouse=True)
def surroundings(tmp_path, monkeypatch):
    """Let nothing of the machine's or of another test's configuration in, and nothing of this one's out."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Chdir, "default", str(tmp_path))  # gunicorn asks once, at import
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "argv", [])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # a file that is written again is read again
    monkeypatch.delenv("GUNICORN_CMD_ARGS", raising=False)


def configured(application, *arguments: str):
    """Return what an application makes of its arguments: each setting's value, or how it says no."""
    here = Path.cwd()
    sys.argv = ["command", *arguments, "hello:app"]
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            settings = application("%(prog)s", prog="command").cfg.settings
    except SystemExit as end:
        return end.code, said.getvalue()
    finally:
        os.chdir(here)
    return {name: comparable(settings[name].get()) for name in SETTINGS}


def given(name: str, value: str) -> str:
    """Return a flag with its value, if it takes one."""
    return FLAGS[name] if name in SWITCHES else f"{FLAGS[name]}={value}"


def comparable(value):
    """Return a value that is equal for equal settings: a hook that does nothing is a function of its own each time."""
    return inspect.getsource(value) if inspect.isfunction(value) else value


def same(theirs, ours) -> bool:
    """Tell whether both configurations are the same, but for the defaults that are ours on purpose."""
    if isinstance(theirs, tuple):
        return isinstance(ours, tuple) and theirs[0] == ours[0] and refusal(theirs) == refusal(ours)
    differing = {name for name in theirs if theirs[name] != ours[name]} if isinstance(ours, dict) else {"refused"}
    return differing <= OTHER_DEFAULTS


def refusal(outcome) -> str:
    """Return the sentence that refuses, without the usage before it, in which our flags are too."""
    return outcome[1].strip().rpartition("\n")[2]


def test_the_defaults_are_gunicorns_but_for_two():
    theirs, ours = configured(WSGIApplication), configured(LiveApplication)

    assert same(theirs, ours)
    assert {name for name in theirs if theirs[name] != ours[name]} == OTHER_DEFAULTS


@pytest.mark.parametrize("name", sorted(FLAGS.keys() - SIDE_EFFECTS))
def test_a_flag_of_gunicorns_means_the_same_here(name, tmp_path):
    taken = 0
    for value in VALUES:
        argument = given(name, value.format(here=tmp_path))
        theirs, ours = configured(WSGIApplication, argument), configured(LiveApplication, argument)
        taken += isinstance(theirs, dict)

        assert same(theirs, ours), argument
    assert taken, f"no value here is one for {FLAGS[name]}"


@pytest.mark.parametrize("name", sorted(FLAGS.keys() - SIDE_EFFECTS))
def test_the_variable_of_gunicorn_means_the_same_here(name, tmp_path, monkeypatch):
    for value in ("7", "name", str(tmp_path)):
        monkeypatch.setenv("GUNICORN_CMD_ARGS", given(name, value))
        assert same(configured(WSGIApplication), configured(LiveApplication))


@pytest.mark.parametrize("name", sorted(SETTINGS.keys() - {"config"}))
def test_a_setting_in_a_configuration_file_means_the_same_here(name, tmp_path):
    default = configured(WSGIApplication)[name]
    changed = refused = 0
    for value in (7, True, "name", str(tmp_path), ["name"], {"name": "value"}, len, None):
        written = "len" if value is len else repr(value)
        (tmp_path / "gunicorn.conf.py").write_text(f"{name} = {written}\n")
        theirs, ours = configured(WSGIApplication), configured(LiveApplication)

        assert same(theirs, ours), written
        refused += isinstance(theirs, tuple)
        changed += isinstance(theirs, dict) and theirs[name] != default
    assert changed or refused, f"no value here tells anything of {name}"


def test_flags_win_over_the_variable_and_that_over_the_file_in_both(tmp_path, monkeypatch):
    (tmp_path / "gunicorn.conf.py").write_text("timeout = 1\nkeepalive = 1\nbacklog = 1\n")
    monkeypatch.setenv("GUNICORN_CMD_ARGS", "--keep-alive 2 --backlog 2")

    for application in (WSGIApplication, LiveApplication):
        settings = configured(application, "--backlog", "3")
        assert (settings["timeout"], settings["keepalive"], settings["backlog"]) == (1, 2, 3)


def test_a_configuration_may_be_a_module(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "special_configuration.py").write_text("timeout = 123\n")

    for application in (WSGIApplication, LiveApplication):
        assert configured(application, "--config", "python:special_configuration")["timeout"] == 123
