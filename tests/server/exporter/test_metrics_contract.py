from __future__ import annotations

import os
import signal

import pytest

from stablehand_dev.load import BackgroundLoad, Load
from stablehand_tuner.contracts import metric_names as names

pytestmark = pytest.mark.integration

# A machine without limits has no limit to tell, and the app loads no module that blocks.
NOT_EVERYWHERE = {
    names.CPU_LIMIT_CORES,
    names.MEMORY_LIMIT_BYTES,
    names.BLOCKING_MODULE_INFO,
    names.APP_PATCHED_INFO,
    names.IMPORTED_EARLY_INFO,
    names.APP_RUNS_INFO,
    names.WORKER_POOL_SIZE,
    names.WORKER_POOL_IN_USE,
    names.WORKER_POOL_WAITING,
    names.TUNER_DECISIONS,
}
SETUPS = {
    "sync": (1, 1),
    "gthread": (4, 4),
    "gevent": (1, 1000),
    "eventlet": (1, 1000),
    "tornado": (1, 1),
    "asgi": (4, 4),  # a WSGI app, by the bridge: as many at once as it has threads
}

SIZED = {"sync", "gthread", "gevent", "eventlet"}  # by gunicorn's code: the others' sizes are unknown


def serve(server, requests, *, connections, query="0.001"):
    """Send so many requests, none of which fails, and return how many were answered."""
    load = Load(f"http://127.0.0.1:{server.port}/?{query}", connections=connections, requests=requests)
    with BackgroundLoad(load) as running:
        result = running.wait()
    assert result.failed == 0, result
    return result.completed


@pytest.mark.parametrize("worker_class", SETUPS)
def test_each_class_reports_the_whole_contract_and_counts_each_request_once(launch, until, worker_class):
    threads, slots = SETUPS[worker_class]
    server = launch("--worker-class", worker_class, "--workers", "2", "--threads", str(threads))
    until(lambda: server.settled(2))
    served = serve(server, 400, connections=8)
    until(lambda: server.total("worker_requests_total", code="2xx") == served)
    until(lambda: server.total("worker_busy_slots") == 0)
    wanted = {
        f"{metric.name}_count" if metric.kind == "histogram" else metric.sample_name
        for metric in set(names.ALL) - NOT_EVERYWHERE
    }
    until(lambda: wanted <= {name for name, _ in server.scrape()})  # some are found out beside the serving

    assert server.total("worker_requests_total") == served
    assert server.total("request_duration_seconds_count") == served
    assert server.total("request_duration_seconds_sum") >= 0.001 * served
    assert server.total("request_queue_seconds_count") == served
    assert server.total("response_body_bytes_count") == (served if worker_class in SIZED else 0)
    assert server.total("worker_info", worker_class=worker_class) == 2
    assert server.total("worker_slots") == 2 * slots
    assert server.total("worker_cpu_seconds_total") > 0
    assert server.total("listen_backlog_limit") > 0
    assert server.total("worker_lag_seconds") < 1.0


def test_sixty_four_threads_of_a_real_worker_lose_no_update(launch, until):
    server = launch("--worker-class", "gthread", "--workers", "1", "--threads", "64")
    served = serve(server, 3000, connections=64, query="0.002")
    until(lambda: server.total("worker_requests_total") >= served)
    until(lambda: server.total("worker_busy_slots") == 0)

    assert server.total("worker_requests_total", code="2xx") == served
    assert server.total("request_duration_seconds_count") == served
    assert server.total("request_queue_seconds_count") == served


def test_metrics_and_probes_answer_while_every_worker_is_stuck(launch, until):
    server = launch("--worker-class", "gthread", "--workers", "2", "--threads", "4")
    until(lambda: server.settled(2))
    stuck = server.workers()
    try:
        for pid in stuck:
            os.kill(pid, signal.SIGSTOP)
        assert server.total("workers", state="ready") == len(stuck) == 2
        assert server.total("worker_resident_memory_bytes") > 0
        assert server.get("/healthz", port=server.metrics_port)[0] == 200
    finally:
        for pid in stuck:
            os.kill(pid, signal.SIGCONT)
    assert server.get()[0] == 200
