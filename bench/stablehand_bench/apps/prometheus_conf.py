"""gunicorn's configuration for prometheus-client's multiprocess mode, as its documentation has it."""

from __future__ import annotations

from typing import Any

from prometheus_client import multiprocess


def child_exit(server: Any, worker: Any) -> None:  # noqa: ARG001 (gunicorn's signature)
    """Forget the gauges of a worker that has ended."""
    multiprocess.mark_process_dead(worker.pid)
