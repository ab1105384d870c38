"""How the load gets from this machine to the app in the cluster."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import subprocess
import threading
import time
from typing import TYPE_CHECKING

from stablehand_dev.errors import DevelopmentError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stablehand_dev.cluster import Cluster

_CONNECT_SECONDS = 2.0
_FORWARD_SECONDS = 20.0
_FORWARDING = re.compile(r"Forwarding from 127\.0\.0\.1:(\d+)")


@contextlib.contextmanager
def url_of(cluster: Cluster, namespace: str, service: str) -> Iterator[str]:
    """Give a URL of a Service: its own address where this machine routes that, else a forwarded port.

    Raises:
        DevelopmentError: neither works.
    """
    body = json.loads(cluster.kubectl("get", "service", service, "--namespace", namespace, "-o", "json"))
    address, port = body["spec"]["clusterIP"], body["spec"]["ports"][0]["port"]
    if answers(address, port):
        yield f"http://{address}:{port}/"
    else:
        with forwarded(cluster, namespace, service, port) as local_port:
            yield f"http://127.0.0.1:{local_port}/"


def answers(address: str, port: int) -> bool:
    """Return whether a TCP connection can be made."""
    try:
        with socket.create_connection((address, port), timeout=_CONNECT_SECONDS):
            return True
    except OSError:
        return False


@contextlib.contextmanager
def forwarded(cluster: Cluster, namespace: str, service: str, port: int) -> Iterator[int]:
    """Forward a free local port to the Service by `kubectl port-forward`, and give its number.

    Raises:
        DevelopmentError: kubectl ended, or said nothing; the text has what it said.
    """
    command = [*cluster.kubectl_command(), "port-forward", "--namespace", namespace, f"service/{service}", f":{port}"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    said: list[str] = []
    # Read to the end, or kubectl would stop at a full pipe: it writes a line for each connection.
    reader = threading.Thread(target=lambda: said.extend(process.stdout or ()), daemon=True)
    reader.start()
    try:
        yield _forwarded_port(process, reader, said)
    finally:
        process.terminate()
        process.wait()
        reader.join()
        if process.stdout is not None:
            process.stdout.close()


def _forwarded_port(process: subprocess.Popen[str], reader: threading.Thread, said: list[str]) -> int:
    deadline = time.monotonic() + _FORWARD_SECONDS
    while time.monotonic() < deadline:
        for line in list(said):
            if found := _FORWARDING.search(line):
                return int(found[1])
        if process.poll() is not None:
            reader.join()  # its last words may not have been read yet
            break
        time.sleep(0.05)
    raise DevelopmentError(f"kubectl cannot forward a port to the app: {''.join(said).strip() or 'it said nothing'}")
