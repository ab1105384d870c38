from __future__ import annotations

import signal

import pytest

pytestmark = pytest.mark.integration

POLICY = '{"windows": {"decisionSeconds": 1, "coolDownSeconds": 0}, "workerClasses": ["gthread"]}'


def test_a_number_of_workers_in_the_configuration_is_what_the_tuner_keeps_until_a_reload_says_otherwise(
    launch, until, tmp_path
):
    (tmp_path / "gunicorn.conf.py").write_text("workers = 1\n")
    (tmp_path / "settings.json").write_text(
        '{"workerClass": "gthread", "workers": 2, "threads": 2, "workerConnections": 100}'
    )
    server = launch("--autotune", STABLEHAND_AUTOTUNE_POLICY=POLICY)

    until(lambda: server.active() == ("gthread", 1, 4) and server.settled(1))
    assert server.log().count("The tuner keeps what was given: workers 1. To let it choose: ") == 1

    (tmp_path / "gunicorn.conf.py").write_text("workers = 2\n")
    server.signal(signal.SIGHUP)
    until(lambda: server.active() == ("gthread", 2, 2) and server.settled(2))
    assert "The tuner keeps what was given: workers 2." in server.log()
