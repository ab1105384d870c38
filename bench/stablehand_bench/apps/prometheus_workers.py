"""Forked workers with prometheus-client in its multiprocess mode, and its collector, as its documentation has them.

Arguments: the port of /metrics, how many workers live, and how many lived before them.
"""

from __future__ import annotations

import os
import signal
import sys

from prometheus_client import CollectorRegistry, multiprocess, start_http_server

from stablehand_bench.apps import forks, prometheus_hello


def main() -> None:
    """Let workers come and go, then export until SIGINT."""
    port, living, gone = map(int, sys.argv[1:])
    for _ in range(gone):
        pid = forks.fork(_serve)
        os.waitpid(pid, 0)
        multiprocess.mark_process_dead(pid)
    for _ in range(living):
        forks.fork(_serve_and_stay)
    forks.fork(lambda: _export(port))
    forks.until_interrupted()


def _serve() -> None:
    prometheus_hello.app({}, lambda *_: None)


def _serve_and_stay() -> None:
    _serve()
    signal.pause()


def _export(port: int) -> None:
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)
    start_http_server(port, addr="127.0.0.1", registry=registry)
    signal.pause()


if __name__ == "__main__":
    main()
