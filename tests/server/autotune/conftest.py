from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from stablehand_tuner.contracts.metric_names import DURATION_BUCKETS
from stablehand_tuner.contracts.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator


class FakeServer:
    """A server by its metrics: each request waits 100 ms, and 64 clients want to be served at once.

    It follows a settings file at once, like the real one.
    """

    def __init__(self) -> None:
        self.settings = Settings("sync", 1)
        self.requests = 0.0
        self.cpu_seconds = 0.0
        self.rejected = 0
        self.broken = ""
        self.status = 200
        self.memory_limit_bytes: float | None = None

    def pass_time(self, seconds: float) -> None:
        """Serve for so long."""
        served = seconds * min(64, self.settings.slots) / 0.1
        self.requests += served
        self.cpu_seconds += served * 0.001

    def text(self) -> str:
        """Return what the server says of itself."""
        if self.broken:
            return self.broken
        busy = min(64, self.settings.slots)
        lines = [
            f'stablehand_worker_requests_total{{worker="0",code="2xx"}} {self.requests}',
            f'stablehand_worker_busy_seconds_total{{worker="0"}} {self.requests * 0.1}',
            f'stablehand_worker_cpu_seconds_total{{worker="0",mode="user"}} {self.cpu_seconds}',
            f'stablehand_worker_slots{{worker="0"}} {self.settings.slots}',
            f'stablehand_worker_busy_slots{{worker="0"}} {busy}',
            'stablehand_worker_proportional_memory_bytes{worker="0"} 30000000',
            f'stablehand_workers{{state="ready"}} {self.settings.workers}',
            f"stablehand_listen_backlog {64 - busy}",
            "stablehand_cpu_count 2",
            'stablehand_available_worker_class_info{worker_class="gthread"} 1',
            'stablehand_available_worker_class_info{worker_class="sync"} 1',
            f'stablehand_generation_switches_total{{outcome="rejected"}} {self.rejected}',
        ]
        if self.memory_limit_bytes is not None:
            lines.append(f"stablehand_memory_limit_bytes {self.memory_limit_bytes}")
        for bound in (*DURATION_BUCKETS, "+Inf"):
            count = self.requests if bound == "+Inf" or bound >= 0.1 else 0
            lines.append(f'stablehand_request_duration_seconds_bucket{{le="{bound}"}} {count}')
        for kind in ("desired", "active"):
            lines += [
                f'stablehand_setting{{name="workers",kind="{kind}"}} {self.settings.workers}',
                f'stablehand_setting{{name="threads",kind="{kind}"}} {self.settings.threads}',
                f'stablehand_setting{{name="worker_connections",kind="{kind}"}} {self.settings.worker_connections}',
                f'stablehand_setting_worker_class_info{{worker_class="{self.settings.worker_class}",kind="{kind}"}} 1',
            ]
        return "\n".join(lines) + "\n"


@pytest.fixture
def fake() -> FakeServer:
    return FakeServer()


@pytest.fixture
def address(fake) -> Iterator[tuple[str, int]]:
    """Where the fake server's metrics are served, by a real HTTP server."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = fake.text().encode()
            self.send_response(fake.status if self.path == "/metrics" else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.server_address[:2]
        finally:
            server.shutdown()
            thread.join()
