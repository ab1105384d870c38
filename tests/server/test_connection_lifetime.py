"""--connection-lifetime: clients that keep their connections connect again from time to time."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.integration

CLIENTS = 16


@pytest.mark.parametrize("worker_class", ["gthread", "gevent", "eventlet", "asgi"])
def test_a_client_connects_again_about_as_often_as_it_says_and_no_request_fails(launch, until, worker_class):
    threads = ["--threads", "8"] if worker_class in {"gthread", "asgi"} else []
    server = launch("-k", worker_class, *threads, STABLEHAND_CONNECTION_LIFETIME="2")
    with server.load(CLIENTS, query="?0.002") as load:
        until(lambda: len(load.series) >= 8, seconds=30)
        result = load.stop()

    again = result.connects - CLIENTS
    assert 0.4 <= again / (CLIENTS * len(load.series) / 2) <= 1.6
    assert result.failures == {}, result.examples


def test_by_default_clients_keep_their_connections(launch, until):
    server = launch("-k", "gthread", "--threads", "4")
    with server.load(4) as load:
        until(lambda: len(load.series) >= 4)
        result = load.stop()

    assert result.connects == 4


def test_the_flag_takes_precedence_over_the_variable(launch, until):
    server = launch("-k", "gthread", "--threads", "4", "--connection-lifetime", "0", STABLEHAND_CONNECTION_LIFETIME="1")
    with server.load(4) as load:
        until(lambda: len(load.series) >= 4)
        result = load.stop()

    assert result.connects == 4
