"""How many requests each class has inside the app at once, counted there and by the metrics: what its slots promise."""

from __future__ import annotations

import json
import resource
import struct
import threading

import pytest

from stablehand_dev.load import BackgroundLoad, Load

pytestmark = pytest.mark.integration

DESCRIPTORS = 16_384
SECONDS = 90


@pytest.fixture
def serve(launch, until, tmp_path):
    """Start a server with settings, whose app holds requests until the gate opens."""

    def serve_counted(app, worker_class, workers, threads, connections):
        (tmp_path / "counts").write_bytes(struct.pack("=qq", 0, 0))
        fields = {"workerClass": worker_class, "workers": workers, "threads": threads, "workerConnections": connections}
        (tmp_path / "settings.json").write_text(json.dumps(fields))
        server = launch("--timeout", "0", app=f"counting:{app}")
        until(lambda: server.settled(workers))
        return server

    return serve_counted


@pytest.fixture
def many_descriptors():
    """Let this process and its children have as many open files as thousands of connections need."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    enough = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, DESCRIPTORS)
    if enough < 4096:
        pytest.skip(f"at most {enough} files may be open here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, enough), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize(
    ("settings", "app", "at_once"),
    [
        (("sync", 4, 1, 1000), "wsgi", 4),
        (("gthread", 4, 2, 1000), "wsgi", 8),
        (("tornado", 3, 1, 1000), "wsgi", 3),
        (("asgi", 3, 2, 1000), "wsgi", 6),
        (("asgi", 2, 1, 5), "asgi", 10),
        (("gevent", 2, 1, 5), "wsgi", 10),
        (("eventlet", 2, 1, 5), "wsgi", 10),
    ],
    ids=lambda each: each[0] if isinstance(each, tuple) else None,
)
def test_as_many_requests_as_there_are_slots_are_inside_the_app_at_once_and_not_one_more(
    serve, until, settings, app, at_once
):
    server = serve(app, *settings)
    statuses = []
    clients = [threading.Thread(target=lambda: statuses.append(server.get()[0])) for _ in range(at_once + 6)]
    for already, client in enumerate(clients):
        client.start()
        until(lambda already=already: counts(server.directory)[0] == min(already + 1, at_once))
    until(lambda: server.total("worker_busy_slots") == at_once)
    assert server.total("worker_slots") == at_once
    (server.directory / "gate").touch()
    for client in clients:
        client.join()

    assert statuses == [200] * len(clients)
    assert counts(server.directory) == (0, at_once)
    until(lambda: server.total("worker_busy_slots") == 0)
    until(lambda: server.total("worker_requests_total", code="2xx") == len(clients))


@pytest.mark.usefixtures("many_descriptors")
@pytest.mark.parametrize(("worker_class", "app"), [("gevent", "wsgi"), ("eventlet", "wsgi"), ("asgi", "asgi")])
def test_three_workers_with_a_thousand_connections_each_serve_three_thousand_requests_at_once(
    serve, until, worker_class, app
):
    server = serve(app, worker_class, 3, 1, 1000)
    url = f"http://127.0.0.1:{server.port}/"
    with BackgroundLoad(Load(url, connections=3000, requests=3000, timeout=SECONDS, duration=SECONDS)) as load:
        until(lambda: counts(server.directory)[0] == 3000, SECONDS)
        until(lambda: server.total("worker_busy_slots") == server.total("worker_connections") == 3000)
        (server.directory / "gate").touch()
        result = load.wait()

    assert (result.completed, result.failures) == (3000, {}), result.examples
    assert counts(server.directory) == (0, 3000)
    until(lambda: server.total("worker_requests_total", code="2xx") == 3000)


def counts(directory):
    """Return how many requests are inside now, and how many were at most."""
    return struct.unpack("=qq", (directory / "counts").read_bytes())
