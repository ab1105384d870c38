from __future__ import annotations

import itertools
import json
import signal

import pytest

pytestmark = pytest.mark.integration

SWITCHES = (
    ("gthread", 2, 8),
    ("gthread", 3, 8),
    ("gevent", 1, 1),
    ("gevent", 2, 1),
    ("sync", 3, 1),
    ("sync", 4, 1),
    ("gthread", 1, 16),
    ("gthread", 1, 4),
    ("sync", 2, 1),
    ("gevent", 3, 1),
    ("gthread", 2, 4),
    ("sync", 4, 1),
)


def test_no_request_fails_through_two_dozen_switches_among_classes_and_numbers(launch, until):
    server = launch("--workers", "4")
    server.configure("sync", 4)
    with server.load(32) as kept, server.load(8, keep_alive=False) as fresh:
        until(lambda: kept.last().completed and fresh.last().completed)
        done = server.switches("done")
        for settings in SWITCHES * 2:
            server.configure(*settings)
            served = len(kept.series)
            until(lambda served=served: len(kept.series) > served)  # keep-alive connections have settled
        results = kept.stop(), fresh.stop()

    assert [result.failures for result in results] == [{}, {}], [result.examples for result in results]
    assert all(result.completed > 500 for result in results)
    assert server.switches("done") == done + 24
    assert server.switches("rolled_back") == server.switches("rejected") == 0
    assert server.metric("worker_requests_total", worker="0", code="error") == 0


def test_the_same_settings_have_the_same_series_processes_and_open_files_however_often_they_change(launch, until):
    server = launch()
    series_of = {}
    for settings in (("sync", 4), ("gthread", 2, 4), ("gevent", 1)) * 2:
        server.configure(*settings)
        until(lambda workers=settings[1]: len(server.children()) == workers + 1)  # and the exporter
        until(lambda workers=settings[1]: labelled(server, "worker_proportional_memory_bytes") == names(workers))
        assert labelled(server, "worker_requests_total") == names(settings[1])
        series_of.setdefault(settings, []).append((server.scrape().keys(), server.open_files()))

    for settings, (first, second) in series_of.items():
        assert first == second, settings


def test_another_number_of_workers_touches_no_process_that_stays(launch, until):
    server = launch()
    server.configure("gthread", 2, 4)
    first = server.workers()
    server.configure("gthread", 4, 4)
    more = server.workers()
    assert first < more
    server.configure("gthread", 2, 4)
    until(lambda: server.workers() == more - first)  # the oldest go, as with gunicorn


def test_each_worker_has_an_index_and_none_shows_a_process_id(launch):
    server = launch()
    for workers, worker_class in itertools.product((3, 1), ("gthread", "sync")):
        server.configure(worker_class, workers)
        assert labelled(server, "worker_info") == names(workers)


def names(workers):
    return {str(index) for index in range(workers)}


def labelled(server, metric):
    """Return the values of the label `worker` of a metric."""
    return {dict(labels)["worker"] for name, labels in server.scrape() if name == f"stablehand_{metric}"}


@pytest.fixture
def started_from_a_file(launch, tmp_path):
    """A server that a settings file, not its flags, has given its first settings; and its worker."""
    settings = {"workerClass": "gthread", "workers": 1, "threads": 4, "workerConnections": 1000}
    (tmp_path / "settings.json").write_text(json.dumps(settings))
    server = launch()
    assert server.active() == ("gthread", 1, 4)
    (first,) = server.workers()
    return server, first


@pytest.mark.parametrize("settings", [("gevent", 1), ("sync", 1)])
def test_the_first_change_after_a_start_from_a_settings_file_replaces_the_worker(started_from_a_file, settings):
    server, first = started_from_a_file
    server.configure(*settings)

    (worker,) = server.workers()
    assert worker != first
    assert server.get()[0] == 200


def test_the_first_reload_after_a_start_from_a_settings_file_replaces_the_worker(started_from_a_file, until):
    server, first = started_from_a_file
    server.signal(signal.SIGHUP)

    until(lambda: len(server.workers() - {first}) == 1 and server.settled(1))
    assert server.active() == ("gthread", 1, 4)


def test_a_first_change_that_cannot_serve_is_rolled_back_also_after_a_start_from_a_file(launch, until, tmp_path):
    settings = {"workerClass": "asgi", "workers": 1, "threads": 1, "workerConnections": 1000}
    (tmp_path / "settings.json").write_text(json.dumps(settings))
    server = launch(app="asgi_serving:app")
    (first,) = server.workers()
    server.write(json.dumps({**settings, "workerClass": "gthread", "threads": 2}))

    until(lambda: server.metric("generation_switches_total", outcome="rolled_back") == 1)
    assert server.workers() == {first}
    assert server.metric("generation_switches_total", outcome="done") == 0
