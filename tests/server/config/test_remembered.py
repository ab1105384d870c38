from __future__ import annotations

import pytest
from gunicorn.config import Config

from stablehand_server.config.remembered import remember


def test_every_setting_says_the_same_as_before():
    plain, quick = Config(), Config()
    remember(quick)

    assert {name: getattr(quick, name) for name in plain.settings} == {
        name: getattr(plain, name) for name in plain.settings
    }


def test_what_is_set_later_is_remembered_too_also_by_gunicorns_properties():
    config = Config()
    remember(config)
    config.set("keepalive", "7")
    config.set("certfile", "/x")

    assert config.keepalive == 7
    assert config.settings["keepalive"].get() == 7
    assert config.is_ssl == "/x"


def test_a_setting_is_looked_up_no_more():
    config = Config()
    remember(config)

    assert "keepalive" in vars(config)


def test_a_setting_that_does_not_exist_is_refused_as_before():
    config = Config()
    remember(config)

    with pytest.raises(AttributeError):
        config.set("keep_alive_for", 1)
