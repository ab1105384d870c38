"""No thread can be started for a while, as at a limit on processes: what serves goes on, the rest comes later."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.integration

# The superuser has no limit on processes: so threads themselves refuse to start, as long as the file is there.
NO_THREAD = """
import threading
from pathlib import Path

_start, _file = threading.Thread.start, Path("no-thread").absolute()

def start(thread):
    if _file.exists():
        raise RuntimeError("can't start new thread")
    _start(thread)

threading.Thread.start = start
"""


@pytest.mark.parametrize("worker_class", ["gthread", "asgi"])
def test_workers_without_a_thread_are_not_ready_and_replace_none_that_serves(launch, until, tmp_path, worker_class):
    (tmp_path / "gunicorn.conf.py").write_text(NO_THREAD)
    server = launch("--worker-class", "sync")
    workers = server.workers()
    (tmp_path / "no-thread").touch()
    server.write(f'{{"workerClass": "{worker_class}", "workers": 1, "threads": 2, "workerConnections": 100}}')
    until(lambda: "did not boot, back to" in server.log())

    assert server.readiness() == 200
    assert server.get()[0] == 200
    assert server.workers() == workers
    (tmp_path / "no-thread").unlink()
    server.configure(worker_class, 1, threads=3)
    assert server.get()[0] == 200


def test_a_server_without_a_thread_at_the_start_is_ready_as_soon_as_it_has_one(start, until, tmp_path):
    (tmp_path / "gunicorn.conf.py").write_text(NO_THREAD)
    (tmp_path / "no-thread").touch()
    server = start("--worker-class", "gthread")
    until(lambda: "the next boot is tried in" in server.log())

    until(lambda: server.readiness() == 503)
    (tmp_path / "no-thread").unlink()
    until(lambda: server.readiness() == 200)
    assert server.get()[0] == 200
