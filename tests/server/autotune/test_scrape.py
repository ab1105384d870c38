from __future__ import annotations

import socket

import pytest

from stablehand_server.autotune.scrape import ScrapeFailed, scrape
from stablehand_tuner.contracts.settings import Settings


def test_a_scrape_is_a_snapshot_of_the_moment(fake, address):
    fake.pass_time(10.0)
    snapshot = scrape(address, 7.0)

    assert snapshot.at == 7.0
    assert snapshot.workers[0].requests == 100
    assert snapshot.settings_active == Settings("sync", 1)


def test_every_address_means_the_loopback(address):
    assert scrape(("0.0.0.0", address[1]), 0.0).workers_ready == 1


def test_a_proxy_in_the_environment_is_not_asked(address, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")

    assert scrape(address, 0.0).workers_ready == 1


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("<html>not found</html>\n", "no metrics"),
        ("other_metric 1\n", "lacks"),
        ("stablehand_listen_backlog NaN\n", "no such value can be"),
    ],
)
def test_an_answer_that_is_not_a_scrape_is_reported(fake, address, text, fault):
    fake.broken = text

    with pytest.raises(ScrapeFailed, match=fault):
        scrape(address, 0.0)


def test_a_server_that_is_not_there_is_reported_with_the_address():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # but does not listen
        port = taken.getsockname()[1]
        with pytest.raises(ScrapeFailed, match=rf"127.0.0.1:{port} does not answer: .*refused"):
            scrape(("127.0.0.1", port), 0.0)
