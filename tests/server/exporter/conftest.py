from __future__ import annotations

import http.client
import socket
import threading
from typing import TYPE_CHECKING, NamedTuple

import pytest
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from stablehand_server.exporter import processes as processes_module
from stablehand_server.exporter.collector import ServerCollector
from stablehand_server.exporter.http_server import MetricsServer
from stablehand_server.exporter.processes import Processes
from stablehand_server.linux.cgroup import Cgroup
from stablehand_server.linux.procfs import ProcessTimes
from stablehand_server.shared_memory import Cell, Server, Slots, State
from stablehand_tuner.contracts.settings import WorkerClass

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stablehand_server.shared_memory import Record

MASTER = 1000


class FakeProc:
    """/proc as the tests want it: a process that is not in `times` is gone."""

    def __init__(self) -> None:
        self.times: dict[int, ProcessTimes] = {}
        self.delays: dict[int, dict[int, float]] = {}
        self.forked: dict[int, list[int]] = {}
        self.pss_reads = 0
        self.resident = 50_000_000

    def run(
        self, pid: int, *, user: float = 0.0, system: float = 0.0, parent: int = MASTER, ended_children: float = 0.0
    ) -> None:
        """Let a process run."""
        self.times[pid] = ProcessTimes(parent, user, system, ended_children)

    def children(self, pid: int) -> list[int]:
        """Stand in for procfs."""
        return self.forked.get(pid, [])

    def process_times(self, pid: int) -> ProcessTimes | None:
        """Stand in for procfs."""
        return self.times.get(pid)

    def run_delays(self, pid: int) -> dict[int, float] | None:
        """Stand in for procfs."""
        return self.delays.get(pid)

    def resident_bytes(self, pid: int) -> int | None:
        """Stand in for procfs."""
        return self.resident if pid in self.times else None

    def proportional_bytes(self, pid: int) -> int | None:
        """Stand in for procfs, and count."""
        self.pss_reads += 1
        return 20_000_000 if pid in self.times else None


@pytest.fixture
def proc(monkeypatch) -> FakeProc:
    fake = FakeProc()
    monkeypatch.setattr(processes_module, "procfs", fake)
    return fake


@pytest.fixture
def slots() -> Slots:
    """A server that should run gthread 2 × 8, and does."""
    made = Slots()
    settings = [list(WorkerClass).index(WorkerClass.GTHREAD), 2, 8, 1000]
    made.write_server(Server.DESIRED, settings)
    made.write_server(Server.ACTIVE, settings)
    made.server[Server.WORKERS] = 2
    made.server[Server.AVAILABLE_CLASSES] = 0b111
    return made


class Worker(NamedTuple):
    """A worker process that is none."""

    record: Record
    pid: int

    def serve(self, requests: int, seconds: float, *, bucket: int = 0) -> None:
        """Finish requests with 2xx, that took so many seconds together."""
        cells = self.record.cells
        cells[Cell.REQUESTS + 1] += requests  # 2xx
        cells[Cell.DURATION_BUCKETS + bucket] += requests
        cells[Cell.DURATION_SECONDS] += seconds


@pytest.fixture
def spawn(slots, proc):
    ages = iter(range(1, 1000))

    def spawn_worker(index: int, *, state: State = State.READY, worker_class: int = 1) -> Worker:
        age = next(ages)
        record = slots.allocate(index=index, age=age, worker_class=worker_class, slots=8)
        record.cells[Cell.PID] = MASTER + age
        record.cells[Cell.STATE] = state
        proc.run(MASTER + age)
        return Worker(record, MASTER + age)

    return spawn_worker


@pytest.fixture
def collector(slots, proc) -> ServerCollector:
    return ServerCollector(slots, Processes(MASTER), Cgroup({}))


Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


@pytest.fixture
def scrape(collector):
    """Return the samples of one scrape, after a round trip through the text format."""

    def take() -> Samples:
        families = text_string_to_metric_families(generate_latest(collector).decode())
        return {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}

    return take


@pytest.fixture
def server(slots, collector) -> Iterator[MetricsServer]:
    with MetricsServer(socket.create_server(("127.0.0.1", 0)), slots, collector) as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield made
        finally:
            made.shutdown()
            thread.join()


@pytest.fixture
def get(server):
    def request(path: str, **headers: str) -> tuple[http.client.HTTPResponse, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=5)
        try:
            connection.request("GET", path, headers={name.replace("_", "-"): text for name, text in headers.items()})
            response = connection.getresponse()
            return response, response.read()
        finally:
            connection.close()

    return request
