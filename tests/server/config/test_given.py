from __future__ import annotations

import sys

import pytest

from stablehand_server.application import LiveApplication
from stablehand_server.config import container_defaults
from stablehand_server.config import given as module
from stablehand_server.config.given import RecordingConfig, given
from stablehand_server.gunicorn_internals.settings import Config
from stablehand_server.master.generation import copied


@pytest.fixture
def application(monkeypatch, tmp_path):
    """Return the application as a command line makes it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GUNICORN_CMD_ARGS", raising=False)
    monkeypatch.setattr(module, "_BY_VARIABLE", None)

    def parse(*arguments):
        monkeypatch.setattr(sys, "argv", ["stablehand-server", *arguments, "shop:app"])
        return LiveApplication("%(prog)s", prog="stablehand-server")

    return parse


def test_the_defaults_are_not_given(application):
    assert given(application().cfg) == {}


def test_a_flag_is_given_even_if_it_is_the_default(application):
    assert given(application("-w", "1").cfg) == {"workers": 1}
    assert given(application("-k", "sync", "--threads", "1").cfg) == {"worker_class": "sync", "threads": 1}
    assert given(application("--worker-connections", "1000").cfg) == {"worker_connections": 1000}


def test_a_configuration_file_and_gunicorns_variable_give_as_a_flag_does(application, tmp_path, monkeypatch):
    (tmp_path / "gunicorn.conf.py").write_text("workers = 3\nthreads = 4\nbind = '127.0.0.1:0'\n")
    monkeypatch.setenv("GUNICORN_CMD_ARGS", "--threads 2")

    assert given(application("-c", str(tmp_path / "gunicorn.conf.py")).cfg) == {"workers": 3, "threads": 2}


def test_auto_leaves_the_number_of_workers_to_the_server(application, tmp_path):
    assert given(application("-w", "auto").cfg) == {}
    (tmp_path / "gunicorn.conf.py").write_text("workers = 3\n")
    assert given(application("-c", str(tmp_path / "gunicorn.conf.py"), "-w", "auto").cfg) == {}


def test_what_a_variable_gives_is_given_unless_a_flag_says_otherwise(application, monkeypatch):
    monkeypatch.setattr(module, "_BY_VARIABLE", 2)

    assert given(application().cfg) == {"workers": 2}
    assert given(application("-w", "5").cfg) == {"workers": 5}
    assert given(application("-w", "auto").cfg) == {}


@pytest.mark.parametrize(
    ("environ", "number"),
    [
        ({}, None),
        ({"WEB_CONCURRENCY": "3"}, 3),
        ({"WEB_CONCURRENCY": "auto"}, None),
        ({"STABLEHAND_WORKERS": "auto"}, None),
        ({"STABLEHAND_WORKERS": "2"}, 2),
        ({"STABLEHAND_WORKERS": "2", "WEB_CONCURRENCY": "3"}, 3),
    ],
)
def test_a_variable_gives_a_number_or_nothing(environ, number):
    assert container_defaults.number_by_variable(environ) == number


def test_an_auto_that_was_replaced_by_its_number_is_still_none(monkeypatch):
    monkeypatch.setenv("WEB_CONCURRENCY", "auto")
    monkeypatch.setenv("STABLEHAND_WEB_CONCURRENCY", "")  # so that it goes with the test
    container_defaults.resolve_variable()

    assert container_defaults.os.environ["WEB_CONCURRENCY"].isdigit()
    assert container_defaults.number_by_variable(container_defaults.os.environ) is None


def test_settings_that_are_applied_to_a_copy_are_not_given():
    config = RecordingConfig()
    config.set("workers", 2)
    twin = copied(config)
    twin.set("workers", 7)
    twin.set("threads", 8)

    assert given(twin) == given(config) == {"workers": 2}


def test_a_programs_own_configuration_object_gives_nothing():
    assert given(Config()) == {}
