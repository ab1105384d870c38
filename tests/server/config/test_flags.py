from __future__ import annotations

import argparse
import sys

import pytest
from gunicorn.config import Config

from stablehand_server import cli
from stablehand_server.application import LiveApplication
from stablehand_server.config import flags
from stablehand_server.config.flags import Workers


@pytest.fixture
def application(monkeypatch, tmp_path):
    """Return the application as a command line makes it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GUNICORN_CMD_ARGS", raising=False)

    def parse(*arguments):
        monkeypatch.setattr(sys, "argv", ["stablehand-server", *arguments, "shop:app"])
        return LiveApplication("%(prog)s", prog="stablehand-server")

    return parse


def test_help_has_a_section_of_its_own_with_every_flag():
    text = Config("%(prog)s", prog="stablehand-server").parser().format_help()
    (section,) = [part for part in text.split("\n\n") if part.startswith("Stablehand:")]

    for flag in ("--settings-file PATH", "--metrics-bind ADDRESS", "--autotune", "--autotune-state", "--boot-timeout"):
        assert f"  {flag}" in section
    assert "--workers" not in section


def test_defaults_suit_a_container(application, monkeypatch):
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    config = application().cfg

    assert config.settings_file == []
    assert config.metrics_bind == ("0.0.0.0", 9464)
    assert config.boot_timeout == 120
    assert config.retire_timeout == 0
    assert config.retire_limit == 0
    assert config.request_timeout == 0
    assert config.autotune is False
    assert config.control_socket_disable is True


def test_who_names_a_control_socket_gets_one(application, tmp_path):
    assert application("--control-socket", str(tmp_path / "control")).cfg.control_socket_disable is False


def test_settings_files_keep_their_order(application):
    assert application("--settings-file", "a", "--settings-file", "b").cfg.settings_file == ["a", "b"]


def test_a_configuration_file_may_give_the_metrics_address_as_text_number_or_pair():
    for value in ("127.0.0.1:9000", ("127.0.0.1", 9000), ["127.0.0.1", 9000]):
        assert flags.validate_address(value) == ("127.0.0.1", 9000)
    assert flags.validate_address(9000).port == 9000
    assert flags.validate_address(None) is None
    assert flags.validate_address("none") is None


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--metrics-bind", "localhost:many"), "is no address: HOST:PORT is needed"),
        (("--metrics-bind", "127.0.0.1:99999"), "is no address: HOST:PORT is needed"),
        (("--metrics-bind", "unix:/tmp/socket"), "is no address: HOST:PORT is needed"),
        (("--boot-timeout", "-1"), "must be positive: -1"),
        (("--retire-timeout", "-1"), "must be positive: -1"),
        (("--workers", "-1"), "must be positive: -1"),
        (("--retire-limit", "1025"), "retire_limit is 1025, but must be at most 1024"),
    ],
)
def test_a_bad_value_ends_the_start_with_what_is_wrong(application, capfd, arguments, words):
    with pytest.raises(SystemExit) as end:
        application(*arguments)
    assert end.value.code != 0
    assert words in capfd.readouterr().err


def test_a_value_that_is_no_number_is_refused_by_the_parser(application, capfd):
    with pytest.raises(SystemExit):
        application("--boot-timeout", "soon")
    assert "--boot-timeout" in capfd.readouterr().err


def test_a_settings_file_that_is_no_path_is_refused():
    with pytest.raises(TypeError, match="path"):
        flags.validate_paths([1])


def test_the_command_without_an_app_says_what_is_missing(monkeypatch, tmp_path, capfd):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GUNICORN_CMD_ARGS", raising=False)
    monkeypatch.setattr(sys, "argv", ["stablehand-server"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code != 0
    assert "No application module specified" in capfd.readouterr().err


def test_a_wrong_number_of_workers_is_reported_in_words(capsys):
    parser = argparse.ArgumentParser()
    parser.add_argument("--workers", type=Workers.type)
    with pytest.raises(SystemExit):
        parser.parse_args(["--workers", "2.0"])

    assert "invalid number of workers value: '2.0'" in capsys.readouterr().err
