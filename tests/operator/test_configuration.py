from __future__ import annotations

import pytest
from typer.testing import CliRunner

from stablehand_operator.cli.application import app
from stablehand_operator.configuration import Configuration, InvalidConfiguration


def test_the_address_is_read_from_bind():
    assert Configuration(bind="127.0.0.1:81").address == ("127.0.0.1", 81)
    assert Configuration(bind="[::1]:81").address == ("::1", 81)
    assert Configuration(bind=":81").address == ("0.0.0.0", 81)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"bind": "nowhere"}, "ADDRESS:PORT"),
        ({"bind": "0.0.0.0:99999"}, "ADDRESS:PORT"),
        ({"scrape_interval": 0}, "scrape-interval must be more than 0"),
        ({"blind_after": 10}, "must be longer than both"),
    ],
)
def test_a_configuration_that_makes_no_sense_is_refused_with_a_sentence(values, sentence):
    with pytest.raises(InvalidConfiguration, match=sentence):
        Configuration(**values)


def test_a_bad_option_ends_the_command_with_that_sentence():
    done = CliRunner().invoke(app, ["run", "--bind", "nowhere"])

    assert done.exit_code == 2
    assert "ADDRESS:PORT" in done.output


def test_the_environment_configures_as_the_options_do(monkeypatch):
    seen = []

    async def operate(configuration):
        seen.append(configuration)

    monkeypatch.setattr("stablehand_operator.main.operate", operate)
    for namespaces in ("", "one two"):
        environment = {"STABLEHAND_NAMESPACES": namespaces, "STABLEHAND_SCRAPE_INTERVAL": "3"}
        done = CliRunner().invoke(app, ["run"], env=environment)
        assert done.exit_code == 0, done.output

    assert seen == [Configuration(scrape_interval=3), Configuration(namespaces=("one", "two"), scrape_interval=3)]


def test_the_version_is_printed():
    assert CliRunner().invoke(app, ["--version"]).output.startswith("stablehand 0.")
