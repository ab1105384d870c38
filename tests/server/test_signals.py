from __future__ import annotations

import contextlib
import http.client
import os
import re
import signal
import threading

import pytest

from stablehand_tuner.contracts.settings import WorkerClass

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
    served = server.metric("worker_requests_total", worker="0", code="2xx")
    (newest,) = server.workers()  # the oldest ones have gone, and it counts for their index
    assert server.get() == (200, str(newest))
    until(lambda: server.metric("worker_requests_total", worker="0", code="2xx") == served + 1)
    assert server.metric("worker_slots", worker="0") == 1
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


@pytest.mark.parametrize("worker_class", [each.value for each in WorkerClass])
def test_a_signal_for_the_master_that_reaches_the_whole_group_ends_no_child_and_fails_no_request(
    launch, until, worker_class
):
    server = launch("--worker-class", worker_class, "--workers", "2")
    until(lambda: server.settled(2) and len(server.children()) == 3)  # the probe of the worker classes has ended
    children = server.children()
    with server.load(8) as load:
        until(lambda: load.last().completed)
        for name in ("HUP", "USR1", "USR2", "TTIN", "TTOU", "WINCH"):
            for child in children:
                os.kill(child, getattr(signal, f"SIG{name}"))
        served = len(load.series)
        until(lambda: len(load.series) > served + 1)
        assert load.last().completed
        assert server.readiness() == 200
        result = load.stop()

    assert result.failures == {}, result.examples
    assert server.children() == children


def test_programs_that_the_app_starts_can_be_ended_by_hup(launch, tmp_path):
    (tmp_path / "starter.py").write_text(
        "import subprocess, sys\n"
        "def app(environ, start_response):\n"
        "    start_response('200 OK', [])\n"
        "    child = 'import os, signal; os.kill(os.getpid(), signal.SIGHUP)'\n"
        "    return [str(subprocess.run([sys.executable, '-c', child]).returncode).encode()]\n"
    )

    assert launch(app="starter:app").get() == (200, str(-signal.SIGHUP))


def test_the_number_of_workers_of_a_class_of_the_users_own_follows_the_signals_too(launch, until, tmp_path):
    (tmp_path / "own.py").write_text("from gunicorn.workers.sync import SyncWorker\nclass Own(SyncWorker):\n    pass\n")
    server = launch("--worker-class", "own.Own")
    for number, workers in ((signal.SIGTTIN, 2), (signal.SIGTTOU, 1)):
        server.signal(number)
        until(lambda workers=workers: server.settled(workers))


def test_a_number_set_by_a_signal_holds_until_the_settings_file_changes_or_the_configuration_is_reloaded(launch, until):
    server = launch()
    server.configure("sync", 2)
    server.signal(signal.SIGTTIN)
    until(lambda: server.active()[1] == 3 and server.settled(3))
    server.configure("sync", 1)
    server.signal(signal.SIGTTIN)
    until(lambda: server.active()[1] == 2 and server.settled(2))
    server.signal(signal.SIGHUP)
    until(lambda: server.active()[1] == 1 and server.settled(1))


def test_usr1_opens_the_log_files_anew_in_master_and_workers(launch, until, tmp_path):
    log, access = tmp_path / "error.log", tmp_path / "access.log"
    server = launch("--error-logfile", str(log), "--access-logfile", str(access))
    workers = re.findall(r"Booting worker with pid: (\d+)", log.read_text())
    for file in (log, access):
        file.rename(file.with_suffix(".old"))
    server.signal(signal.SIGUSR1)
    until(lambda: log.exists() and access.exists())

    assert server.get()[0] == 200
    until(lambda: "GET /" in access.read_text())
    assert {int(pid) for pid in workers} <= server.children()


def test_winch_is_nothing_to_a_server_that_is_no_daemon(launch, until):
    server = launch()
    workers = server.workers()
    server.signal(signal.SIGWINCH)
    until(lambda: "Handling signal: winch" in server.log())

    assert server.get()[0] == 200
    assert server.workers() == workers


@pytest.fixture
def ended_by_pidfile(tmp_path, until):
    """A pid file, whose process ends with the test though it is no child of it."""
    file = tmp_path / "pid"
    yield file
    for left in (file.with_name("pid.2"), file):
        if left.exists():
            pid = int(left.read_text())
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGINT)
            until(lambda pid=pid: not alive(pid))


def test_winch_takes_the_workers_of_a_daemon_away_and_ttin_or_hup_bring_them_back(start, until, ended_by_pidfile):
    server = start("--daemon", "--pid", str(ended_by_pidfile), "--workers", "2", "--error-logfile", "errors")
    until(lambda: server.readiness() == 200)
    master = int(ended_by_pidfile.read_text())
    os.kill(master, signal.SIGWINCH)
    until(lambda: server.readiness() == 503 and server.metric("workers", state="retiring") == 0)
    os.kill(master, signal.SIGTTIN)
    until(lambda: server.settled(1))
    os.kill(master, signal.SIGWINCH)
    until(lambda: server.readiness() == 503)
    os.kill(master, signal.SIGHUP)
    until(lambda: server.settled(2))

    assert server.get()[0] == 200


def test_usr2_starts_a_second_master_that_takes_over_without_a_failed_request(launch, until, ended_by_pidfile):
    server = launch("--pid", str(ended_by_pidfile), "--workers", "2")
    first = server.process.pid
    second_pidfile = ended_by_pidfile.with_name("pid.2")
    with server.load(8, keep_alive=False) as load:
        until(lambda: load.last().completed)
        server.signal(signal.SIGUSR2)
        until(second_pidfile.exists)
        second = int(second_pidfile.read_text())
        until(lambda: server.log().count("Serving with sync 2") == 2)
        server.signal(signal.SIGTERM)
        assert server.process.wait(timeout=15) == 0
        until(lambda: ended_by_pidfile.exists() and int(ended_by_pidfile.read_text()) == second)
        until(lambda: server.readiness() == 200)  # the metrics have moved to the second master
        served = len(load.series)
        until(lambda: len(load.series) > served + 1)
        result = load.stop()

    assert first != second
    assert result.failures == {}, result.examples
    assert server.settled(2)


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
