"""What the dashboard asks is what the pods say: every query returns data from a real Prometheus."""

from __future__ import annotations

import contextlib
import socket
import subprocess

import httpx
import pytest
import yaml

from stablehand_dev.cluster import binaries
from stablehand_dev.dashboard import queries, static_scrape_config
from stablehand_dev.dashboard.scraping import pod_target
from stablehand_dev.load import BackgroundLoad, Load

LOAD_SECONDS = 60


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def running(command, log):
    with log.open("w") as output, subprocess.Popen(command, stdout=output, stderr=output) as process:
        try:
            yield process
        finally:
            process.terminate()
            process.wait(timeout=30)


@pytest.fixture
def prometheus_for(tmp_path, waiting):
    """Start a Prometheus that scrapes the pods of an app, labelled as the dashboard expects."""
    with contextlib.ExitStack() as stack:

        def start(app):
            targets = [
                pod_target(pod["status"]["podIP"], app.namespace, pod["metadata"]["name"], app.name)
                for pod in app.pods()
            ]
            config = tmp_path / "prometheus.yml"
            config.write_text(yaml.safe_dump(static_scrape_config(targets, interval="5s")))
            base = f"http://127.0.0.1:{free_port()}"
            command = [
                binaries.prometheus(),
                f"--config.file={config}",
                f"--storage.tsdb.path={tmp_path / 'data'}",
                f"--web.listen-address={base.removeprefix('http://')}",
            ]
            log = tmp_path / "prometheus.log"
            process = stack.enter_context(running(command, log))
            waiting("Prometheus", lambda: ready(process, base, log), 60)
            return base

        yield start


def ready(process, base, log):
    assert process.poll() is None, log.read_text()
    try:
        return httpx.get(f"{base}/-/ready", timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def ask(base, expression):
    answer = httpx.get(f"{base}/api/v1/query", params={"query": expression}, timeout=30).json()
    assert answer["status"] == "success", f"{expression}: {answer}"
    return [each for each in answer["data"]["result"] if each["value"][1] != "NaN"]


def test_every_query_returns_data_after_a_minute_of_load(new_app, io_bound, prometheus_for, waiting):
    app = new_app("graphs")
    app.apply(
        {**io_bound, "settings": {"workerClass": "gthread", "workers": 2, "threads": 8, "workerConnections": 1000}}
    )
    app.wait_until_ready()
    prometheus = prometheus_for(app)
    wanted = [each for each in queries(namespace=app.namespace, app=app.name) if each.kind == "panel"]
    assert wanted

    with BackgroundLoad(Load(app.url(), connections=32, duration=300)) as load:
        waiting("a minute of load", lambda: len(load.series) >= LOAD_SECONDS, LOAD_SECONDS + 30)
        silent = [f"{each.title}: {each.expression}" for each in wanted if not ask(prometheus, each.expression)]
        result = load.stop()

    assert silent == []
    assert not result.failures, result.examples
    for each in queries(namespace=app.namespace, app=app.name):
        if each.kind == "annotation":
            ask(prometheus, each.expression)
