"""The exporter's main: a child of the master that serves until the master has ended."""

from __future__ import annotations

import os
import selectors
import signal
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from stablehand_server.exporter.processes import Processes
    from stablehand_server.shared_memory import Slots

# Asks the exporter to answer the connections that it has, and to exit. Not SIGTERM, which a service manager sends to
# every process of the server: /readyz must report until the master's end that the server is shutting down.
END_SIGNAL = signal.SIGALRM
LONGEST_END_SECONDS = 1.0

_SECONDS_BETWEEN_LOOKS = 0.5  # for the master
_SHORTEST_PAUSE_SECONDS = 0.01  # between the memory of two processes


def run(slots: Slots, listener: socket.socket, parent_pid: int, become: Callable[[], None] = lambda: None) -> None:
    """Serve /metrics, /readyz and /healthz; return at END_SIGNAL, or when the parent has changed.

    Args:
        slots: the shared mapping.
        listener: the socket to serve at, which the master keeps open.
        parent_pid: the master's process id.
        become: drops this process's privileges once its modules are imported, which the other user may not be able to
            read.
    """
    # In this process only: the app may want to configure prometheus_client, by its environment, before importing it.
    from stablehand_server.exporter.collector import ServerCollector  # noqa: PLC0415
    from stablehand_server.exporter.http_server import MetricsServer  # noqa: PLC0415
    from stablehand_server.exporter.processes import Processes  # noqa: PLC0415
    from stablehand_server.linux.cgroup import Cgroup  # noqa: PLC0415

    become()
    # A service manager signals the whole group. This process reports the master's shutdown until the master has ended.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    ending, end = os.pipe()  # select() is resumed after a signal's handler: only a descriptor wakes it for good
    signal.signal(END_SIGNAL, lambda *_: os.write(end, b"\0"))
    processes = Processes(parent_pid)
    collector = ServerCollector(slots, processes, Cgroup.of_this_process())
    server = MetricsServer(listener, slots, collector)
    reads_memory = False
    with server, selectors.DefaultSelector() as selector:
        selector.register(listener, selectors.EVENT_READ)
        selector.register(ending, selectors.EVENT_READ)
        while os.getppid() == parent_pid:
            reads_memory = reads_memory or _start_reading_memory(processes)
            ready = {key.fd for key, _ in selector.select(_SECONDS_BETWEEN_LOOKS)}
            if ready:
                server.accept_waiting()
            if ending in ready:
                server.await_answers(LONGEST_END_SECONDS)
                return


def _start_reading_memory(processes: Processes) -> bool:
    """Return whether it was possible: at the limit on processes, probes and scrapes are answered without it."""
    thread = threading.Thread(target=_read_memory, args=(processes,), name="memory", daemon=True)
    try:
        thread.start()
    except RuntimeError:
        return False
    return True


def _read_memory(processes: Processes) -> None:
    """Read the expensive part of the workers' memory independently of scrapes, which would otherwise wait for it."""
    while True:
        time.sleep(max(_SHORTEST_PAUSE_SECONDS, processes.read_memory()))
