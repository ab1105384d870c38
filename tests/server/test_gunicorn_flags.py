from __future__ import annotations

import json
import re

import pytest

pytestmark = pytest.mark.integration


def source_of(server):
    """Return the line of the log that says what runs, and from where."""
    (line,) = re.findall(r"Settings: (.*)", server.log())
    return line


def test_gunicorns_flags_are_in_force_without_a_settings_file(launch):
    server = launch("--worker-class", "gthread", "--workers", "2", "--threads", "3")

    assert server.active() == ("gthread", 2, 3)
    assert source_of(server) == "gthread 2 × 3, from flags and configuration"


def test_threads_alone_make_gthread_of_sync_as_gunicorn_does(launch):
    assert launch("--threads", "3").active() == ("gthread", 1, 3)


def test_the_configuration_file_is_read(launch, tmp_path):
    (tmp_path / "special.py").write_text('workers = 3\nworker_class = "gthread"\nthreads = 2\n')

    assert launch("--config", "special.py").active() == ("gthread", 3, 2)


def test_the_variable_of_gunicorn_wins_over_the_configuration_file_and_flags_win_over_it(launch, tmp_path):
    (tmp_path / "gunicorn.conf.py").write_text('workers = 4\nworker_class = "gthread"\nthreads = 2\n')
    server = launch("--threads", "5", GUNICORN_CMD_ARGS="--workers 3 --threads 4")

    assert server.active() == ("gthread", 3, 5)


def test_own_flags_are_read_from_the_configuration_file_too(start, until, tmp_path):
    (tmp_path / "gunicorn.conf.py").write_text("boot_timeout = 1\n")
    (tmp_path / "boot-fault").write_text("hang")
    server = start("--workers", "1")

    until(lambda: "while it booted" in server.log())


def test_the_settings_file_wins_over_everything_and_the_log_says_so(start, until, tmp_path):
    fields = {"workerClass": "gevent", "workers": 2, "threads": 1, "workerConnections": 50}
    (tmp_path / "settings.json").write_text(json.dumps(fields))
    server = start("--workers", "4", "--threads", "3", GUNICORN_CMD_ARGS="--worker-class sync")
    until(lambda: server.readiness() == 200 and server.settled(2))

    assert server.active() == ("gevent", 2, 1)
    assert source_of(server) == f"gevent 2 × 50, from the file {tmp_path / 'settings.json'}"
    assert server.metric("worker_slots", worker="0") == 50


def test_the_last_of_several_settings_files_wins(start, until, tmp_path):
    fields = {"workerClass": "sync", "workers": 2, "threads": 1, "workerConnections": 1000}
    pod = tmp_path / "pod-settings.json"
    pod.write_text(json.dumps(fields | {"workers": 3}))
    (tmp_path / "settings.json").write_text(json.dumps(fields))
    server = start("--settings-file", str(pod))
    until(lambda: server.readiness() == 200 and server.settled(3))
    pod.write_text("")
    until(lambda: server.active() == ("sync", 2, 1))


def test_metrics_can_be_switched_off(start, until):
    server = start("--metrics-bind", "none")
    until(lambda: "Serving with" in server.log())

    assert server.get()[0] == 200
    assert server.readiness() == 0


def test_a_metrics_port_that_is_taken_is_said_at_once(launch, start):
    first = launch()
    second = start("--metrics-bind", f"127.0.0.1:{first.metrics_port}")

    assert second.process.wait(timeout=15) == 1
    assert "choose another address with --metrics-bind" in second.log()


def test_preloaded_apps_switch_too(launch):
    server = launch("--preload", "--workers", "1")
    server.configure("gthread", 2, 4)

    assert server.get()[0] == 200
