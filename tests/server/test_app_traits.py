from __future__ import annotations

import json

import pytest

pytestmark = pytest.mark.integration

PATCHED = "from gevent import monkey\nmonkey.patch_all()\nfrom serving import app\n"
EARLY = "import keeps_a_context\n"
RUNNING = """
import asyncio, signal, threading
from signal import alarm, signal as set_handler
from serving import app as serving
threading.Thread(target=threading.Event().wait, daemon=True).start()
loop = asyncio.new_event_loop()

def app(environ, start_response):
    loop.run_until_complete(asyncio.sleep(0))
    set_handler(signal.SIGALRM, signal.SIG_DFL)
    return serving(environ, start_response)
"""
FORKING = """
import subprocess, sys
CODE = "import time\\nwhile time.process_time() < 0.2: pass"

def app(environ, start_response):
    subprocess.run([sys.executable, "-S", "-c", CODE], check=True)
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
"""
POOLED = """
import time
from psycopg_pool import ConnectionPool
from serving import app
pool = ConnectionPool()
"""
PSYCOPG_POOL = """
class ConnectionPool:
    def get_stats(self):
        return {"pool_max": 7, "pool_size": 4, "pool_available": 4, "requests_waiting": 3}
"""
POLICY = '{"windows": {"decisionSeconds": 1}}'


def of(server, metric, label):
    return {dict(labels)[label] for name, labels in server.scrape() if name == f"stablehand_{metric}"}


def settings(worker_class, threads=1):
    return json.dumps({"workerClass": worker_class, "workers": 1, "threads": threads, "workerConnections": 50})


def test_an_app_that_has_patched_itself_is_known_under_each_class_and_leaves_the_one_that_would_hang(
    launch, until, tmp_path
):
    (tmp_path / "patched.py").write_text(PATCHED)
    (tmp_path / "settings.json").write_text(settings("gthread", 2))
    # a worker with threads may hang when it retires, too: this is how long the server's end waits for it
    server = launch("--autotune", "--graceful-timeout", "1", app="patched:app", STABLEHAND_AUTOTUNE_POLICY=POLICY)
    assert of(server, "app_patched_info", "library") == {"gevent"}

    until(lambda: server.active()[:2] == ("gevent", 1), seconds=40)
    assert "[ClassUnsuited]" in server.log()
    until(lambda: of(server, "app_patched_info", "library") == {"gevent"})
    assert server.get()[0] == 200


def test_what_the_configuration_file_imports_is_known_under_each_class(launch, until, tmp_path):
    (tmp_path / "keeps_a_context.py").write_text("from ssl import SSLContext\n")
    (tmp_path / "gunicorn.conf.py").write_text("import sys\nsys.path.insert(0, '.')\n" + EARLY)
    server = launch()
    assert of(server, "imported_early_info", "module") == {"other"}

    server.configure("gevent", 1)
    until(lambda: of(server, "imported_early_info", "module") == {"other"})
    assert of(server, "app_patched_info", "library") == set()


def test_what_the_app_runs_is_known_soon(launch, until, tmp_path):
    (tmp_path / "running.py").write_text(RUNNING)
    server = launch(app="running:app")
    assert not of(server, "app_runs_info", "what") & {"event_loop", "lasting_event_loop"}
    for _ in range(10):
        assert server.get()[0] == 200

    until(lambda: of(server, "app_runs_info", "what") >= {"event_loop", "lasting_event_loop"}, seconds=3)
    until(
        lambda: (
            of(server, "app_runs_info", "what")
            == {
                "event_loop",
                "lasting_event_loop",
                "threads",
                "timer_signals",
            }
        )
    )


def test_what_child_processes_use_is_told_apart_from_what_their_worker_uses(launch, tmp_path):
    (tmp_path / "forking.py").write_text(FORKING)
    server = launch(app="forking:app")
    for _ in range(3):
        assert server.get()[0] == 200
    used = server.total("worker_children_cpu_seconds_total")
    assert used == pytest.approx(0.6, rel=0.5)  # the kernel counts ticks
    own = server.total("worker_cpu_seconds_total")

    server.configure("gthread", 1, 2)  # the kernel adds what the children used to what their worker used, as it ends
    assert server.total("worker_children_cpu_seconds_total") >= used
    assert server.total("worker_cpu_seconds_total") < own + 0.6


def test_the_pool_of_the_app_is_known_of_each_worker(launch, tmp_path):
    (tmp_path / "pooled.py").write_text(POOLED)
    (tmp_path / "psycopg_pool.py").write_text(PSYCOPG_POOL)
    server = launch("--workers", "2", app="pooled:app")

    assert server.total("worker_pool_size", library="psycopg_pool") == 14
    assert server.metric("worker_pool_waiting", worker="1", library="psycopg_pool") == 3
    assert server.metric("worker_pool_in_use", worker="0", library="psycopg_pool") == 0
    assert of(server, "worker_pool_size", "library") == {"psycopg_pool"}
