from __future__ import annotations

import http.client
import os
import signal
import threading

import pytest

pytestmark = pytest.mark.integration

CONFIGURATION = 'worker_class = "gthread"\nworkers = 2\nthreads = 4\n'


@pytest.fixture
def configuration(tmp_path):
    """The configuration file that gunicorn finds by itself."""
    file = tmp_path / "gunicorn.conf.py"
    file.write_text(CONFIGURATION)
    return file


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("workers = (", "was never closed"),
        ("raise SystemExit(3)", "3"),
        ("workers = 'many'", "many"),
        ("worker_class = 'nonsense'", "nonsense"),
    ],
)
def test_hup_with_a_bad_configuration_is_refused_and_serving_goes_on(launch, until, configuration, content, fault):
    server = launch()
    workers = server.workers()
    configuration.write_text(content)
    server.signal(signal.SIGHUP)
    until(lambda: server.switches("rejected") == 1)

    (line,) = [line for line in server.log().splitlines() if "Settings refused" in line]
    assert "cannot be reloaded" in line
    assert fault in line
    assert server.get()[0] == 200
    assert server.workers() == workers
    configuration.write_text(CONFIGURATION.replace("2", "3"))
    server.signal(signal.SIGHUP)
    until(lambda: server.active() == ("gthread", 3, 4) and server.settled(3))


def test_hup_with_a_good_configuration_replaces_every_worker_without_a_failed_request(launch, until, configuration):
    server = launch()
    workers = server.workers()
    with server.load(16) as load:
        until(lambda: load.last().completed)
        configuration.write_text('worker_class = "gevent"\nworkers = 3\n')
        server.signal(signal.SIGHUP)
        until(lambda: server.switches("done") == 1 and server.settled(3))
        server.signal(signal.SIGHUP)
        until(lambda: server.switches("done") == 2 and server.settled(3))
        result = load.stop()

    assert result.failures == {}, result.examples
    assert server.active()[:2] == ("gevent", 3)
    assert not workers & server.workers()


def test_hup_does_not_override_the_settings_file(launch, until, configuration):
    server = launch()
    server.configure("sync", 3)
    first = server.workers()
    server.signal(signal.SIGHUP)
    until(lambda: server.switches("done") == 2 and server.settled(3))

    assert server.active() == ("sync", 3, 1)
    assert not first & server.workers()


def test_hup_reloads_the_app_and_rolls_back_where_it_does_not_import(launch, until, configuration):
    server = launch()
    workers = server.workers()
    server.boot_fault.write_text("a bad release")
    server.signal(signal.SIGHUP)
    until(lambda: server.switches("rolled_back") == 1)

    assert server.get()[0] == 200
    assert server.workers() == workers


def test_ttin_and_ttou_change_the_number_by_one_but_never_to_none(launch, until):
    server = launch("--workers", "1")
    for number, workers in ((signal.SIGTTIN, 2), (signal.SIGTTIN, 3), (signal.SIGTTOU, 2), (signal.SIGTTOU, 1)):
        server.signal(number)
        until(lambda workers=workers: server.active()[1] == workers and server.settled(workers))
    server.signal(signal.SIGTTOU)
    until(lambda: server.log().count("Handling signal: ttou") == 3)
    server.signal(signal.SIGTTIN)
    until(lambda: server.active()[1] == 2 and server.settled(2))


@pytest.mark.parametrize("worker_class", ["sync", "gthread", "gevent"])
def test_term_first_unreadies_then_finishes_what_is_in_flight_and_ends_with_0(launch, until, worker_class):
    server = launch("--worker-class", worker_class, "--threads", "2" if worker_class == "gthread" else "1")
    answers = []
    client = threading.Thread(target=lambda: answers.append(server.get("/?3")))
    client.start()
    until(lambda: server.metric("worker_busy_slots", worker="0") == 1)
    server.signal(signal.SIGTERM)
    until(lambda: server.readiness() == 503, seconds=2)
    assert not answers
    assert "shutting down" in server.get("/readyz", port=server.metrics_port)[1]
    client.join()

    assert [status for status, _ in answers] == [200]
    assert server.process.wait(timeout=15) == 0
    with pytest.raises((OSError, http.client.HTTPException)):
        server.get("/readyz", port=server.metrics_port)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_the_server_ends_soon_also_while_a_worker_boots(launch, until, number):
    server = launch()
    server.boot_fault.write_text("hang")
    (worker,) = server.workers()
    os.kill(worker, signal.SIGKILL)
    until(lambda: server.metric("workers", state="booting") == 1)
    server.signal(number)

    assert server.process.wait(timeout=10) == 0


def test_the_end_of_the_server_leaves_no_process(launch, until):
    server = launch("--workers", "2")
    children = server.children()
    server.signal(signal.SIGINT)
    server.process.wait(timeout=15)

    assert children
    until(lambda: not any(alive(pid) for pid in children))


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:  # noqa: PTH123 (no file of ours)
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
