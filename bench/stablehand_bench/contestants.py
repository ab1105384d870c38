"""The servers that are compared: plain gunicorn, and gunicorn with each way of measuring it, at its best settings.

All run in one environment, with the same gunicorn, app and flags; only the measuring differs. Where prometheus-client
writes files they are in memory (/dev/shm).
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from stablehand_bench import processes

if TYPE_CHECKING:
    from collections.abc import Iterator

PLAIN = "gunicorn"
STABLEHAND = "stablehand-server"
CLIENT = "gunicorn + prometheus-client"
EXPORTER = "gunicorn-prometheus-exporter"

_REPOSITORY = Path(__file__).parents[2]
_APPS = "stablehand_bench.apps"
_MEMORY = Path("/dev/shm")  # noqa: S108 (nothing secret)
_EXPORTER_CLASSES = {
    "sync": "gunicorn_prometheus_exporter.PrometheusWorker",
    "gthread": "gunicorn_prometheus_exporter.PrometheusThreadWorker",
    "gevent": "gunicorn_prometheus_exporter.PrometheusGeventWorker",
}


class Setup(NamedTuple):
    """How many of what serve: gunicorn's worker class, workers and threads; `bridged` is a WSGI app under asgi."""

    worker_class: str
    workers: int = 1
    threads: int = 1
    bridged: bool = False


class Running(NamedTuple):
    """A contestant that runs, and its ports; `metrics_port` is 0 where nothing is exposed."""

    server: processes.Server
    port: int
    metrics_port: int

    @property
    def url(self) -> str:
        """The app's address."""
        return f"http://127.0.0.1:{self.port}/"


def of(worker_class: str) -> tuple[str, ...]:
    """Return who can run a class, plain gunicorn first."""
    if worker_class in _EXPORTER_CLASSES:
        return (PLAIN, STABLEHAND, CLIENT, EXPORTER)
    return (PLAIN, STABLEHAND)


@contextlib.contextmanager
def running(name: str, setup: Setup, *, core: int | None) -> Iterator[Running]:
    """Start a contestant on a core, and end it with the block.

    Raises:
        BenchError: when it does not start.
    """
    port, metrics_port = processes.free_ports(2)
    environment = {"PYTHONPATH": ":".join(str(_REPOSITORY / part) for part in ("bench", "server", "tuner"))}
    flags = ["--bind", f"127.0.0.1:{port}", "--workers", str(setup.workers), "--threads", str(setup.threads)]
    flags += ["--worker-class", setup.worker_class]
    if _MEMORY.is_dir():
        flags += ["--worker-tmp-dir", str(_MEMORY)]
    asgi = setup.worker_class == "asgi" and not setup.bridged
    app = f"{_APPS}.hello:{'asgi_app' if asgi else 'app'}"
    with contextlib.ExitStack() as stack:
        if name in {CLIENT, EXPORTER}:
            memory = str(_MEMORY) if _MEMORY.is_dir() else None
            files = stack.enter_context(tempfile.TemporaryDirectory(prefix="stablehand-bench-", dir=memory))
            environment["PROMETHEUS_MULTIPROC_DIR"] = files
        program = [sys.executable, "-m", "gunicorn"]
        exposed = 0
        if name == STABLEHAND:
            program = [sys.executable, "-m", "stablehand_server.cli"]
            flags += ["--metrics-bind", f"127.0.0.1:{metrics_port}"]
            exposed = metrics_port
        else:
            flags.append("--no-control-socket")  # a thread of gunicorn's own, which stablehand-server has switched off
        if name == CLIENT:
            app = f"{_APPS}.prometheus_hello:app"
            flags += ["--config", f"python:{_APPS}.prometheus_conf"]
        if name == EXPORTER:
            flags += ["--config", f"python:{_APPS}.exporter_conf"]
            flags += ["--worker-class", _EXPORTER_CLASSES[setup.worker_class]]  # the last one counts
            environment |= {"PROMETHEUS_METRICS_PORT": str(metrics_port), "PROMETHEUS_BIND_ADDRESS": "127.0.0.1"}
            environment |= {"GUNICORN_WORKERS": str(setup.workers)}
            exposed = metrics_port
        server = stack.enter_context(
            processes.serving([*program, *flags, app], environment=environment, core=core, port=port)
        )
        if exposed:
            server.await_answer(exposed, "/metrics")
        if name == STABLEHAND:  # beside exporter and workers, what looks once which classes run here has ended
            server.await_children(1 + setup.workers)
        yield Running(server, port, exposed)
