"""A server that tried settings of its own gives its clients up when it runs again what all run."""

from __future__ import annotations

import json

import pytest

pytestmark = pytest.mark.integration

CLIENTS = 8


@pytest.mark.parametrize("worker_class", ["gthread", "gevent", "asgi"])
def test_connections_that_it_has_kept_are_given_up_for_a_moment_and_no_request_fails(
    launch, until, tmp_path, worker_class
):
    own = tmp_path / "own.json"
    settings = json.dumps({"workerClass": worker_class, "workers": 1, "threads": 8, "workerConnections": 1000})
    server = launch("--settings-file", str(own))
    own.write_text(settings)
    until(lambda: server.active()[0] == worker_class and server.settled(1))
    with server.load(CLIENTS) as load:
        until(lambda: len(load.series) >= 2)
        server.write(settings)
        own.write_text("")
        length = len(load.series)
        until(lambda: len(load.series) >= length + 5)
        result = load.stop()

    assert 2 * CLIENTS - 1 <= result.connects <= 6 * CLIENTS < result.requests / 10
    assert result.failures == {}, result.examples
    assert server.switches("rejected") == 0
