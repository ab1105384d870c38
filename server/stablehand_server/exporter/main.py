"""The exporter's main: a child of the master that serves until the master is gone."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stablehand_server.exporter.processes import Processes
    from stablehand_server.shared_memory import Slots

_SECONDS_BETWEEN_LOOKS = 0.5  # for the master
_SHORTEST_PAUSE_SECONDS = 0.01  # between the memory of two processes


def run(slots: Slots, address: tuple[str, int], parent_pid: int) -> None:
    """Serve /metrics, /readyz and /healthz; return when the parent has changed.

    Args:
        slots: the shared mapping.
        address: host and port.
        parent_pid: the master's process id.

    Raises:
        SystemExit: with status 1, and a sentence on stderr, when the address cannot be served.
    """
    # In this process only: the app may want to configure prometheus_client, by its environment, before importing it.
    from stablehand_server.exporter.collector import ServerCollector  # noqa: PLC0415
    from stablehand_server.exporter.http_server import MetricsServer  # noqa: PLC0415
    from stablehand_server.exporter.processes import Processes  # noqa: PLC0415
    from stablehand_server.linux.cgroup import Cgroup  # noqa: PLC0415

    # A service manager signals the whole group. The master's shutdown is to be seen here until its end, which is ours.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    processes = Processes(parent_pid)
    collector = ServerCollector(slots, processes, Cgroup.of_this_process())
    try:
        server = MetricsServer(address, slots, collector)
    except OSError as error:
        host, port = address
        sys.stderr.write(
            f"Cannot serve metrics on {host}:{port}: {error.strerror or error}. "
            "Choose another address by --metrics-bind, or switch them off by --metrics-bind none.\n"
        )
        sys.stderr.flush()
        raise SystemExit(1) from None
    threading.Thread(target=_read_memory, args=(processes,), name="memory", daemon=True).start()
    server.timeout = _SECONDS_BETWEEN_LOOKS
    with server:
        while os.getppid() == parent_pid:
            server.handle_request()


def _read_memory(processes: Processes) -> None:
    """Read the costly part of the workers' memory beside the scrapes, which would otherwise wait for it."""
    while True:
        time.sleep(max(_SHORTEST_PAUSE_SECONDS, processes.read_memory()))
