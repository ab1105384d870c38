"""Where the metrics are served: the address that the user has named, or the default.

The default is loopback, which cannot be reached from other machines; in a container it is every address, since scrapes
and probes come from outside. The user has not asked for the default port, so it gives way to a process that already
uses it, and to the app, if it binds it.
"""

from __future__ import annotations

import ipaddress
import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from stablehand_tuner.contracts.metric_names import DEFAULT_METRICS_PORT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

DEFAULT = "auto"
EVERY_HOST, EVERY_HOST_IPV6, LOOPBACK = "0.0.0.0", "::", "127.0.0.1"
_OFF = frozenset({"", "none", "off"})
_HIGHEST_PORT = 65535
_OF_KUBERNETES = "KUBERNETES_SERVICE_HOST"
_MARKS_OF_CONTAINERS = ("/.dockerenv", "/run/.containerenv")
_FIRST_PROCESS = 1


class Address(NamedTuple):
    """A TCP host and port; the host is a name or an address without brackets."""

    host: str
    port: int

    def __str__(self) -> str:
        """Return it as it stands in a URL."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class DefaultAddress(Address):
    """The default address, which the user has not asked for."""

    __slots__ = ()


def default(
    environ: Mapping[str, str] = os.environ,
    pid: int | None = None,
    exists: Callable[[str], bool] = lambda path: Path(path).exists(),
) -> DefaultAddress:
    """Return the address to use if none is named: loopback, or in a container every address.

    A container is recognised by the variables and files that Kubernetes, Docker or Podman set, or by this process
    having id 1. In a cluster with an IPv6 address the pods may have no IPv4: then it is every address of both.

    Args:
        environ: the environment variables.
        pid: this process's id, by default that of the running process.
        exists: returns whether a file exists.
    """
    kubernetes = environ.get(_OF_KUBERNETES)
    if kubernetes is not None and ":" in kubernetes:
        return DefaultAddress(EVERY_HOST_IPV6, DEFAULT_METRICS_PORT)
    first = (os.getpid() if pid is None else pid) == _FIRST_PROCESS
    contained = kubernetes is not None or first or any(map(exists, _MARKS_OF_CONTAINERS))
    return DefaultAddress(EVERY_HOST if contained else LOOPBACK, DEFAULT_METRICS_PORT)


def parse(text: str) -> Address | None:
    """Parse an address; return None for "none" and "off".

    Accepts HOST:PORT, HOST, PORT, :PORT (every IPv4 address), [IPV6]:PORT, and "auto" for the default. Omitted parts
    are those of the default.

    Raises:
        ValueError: when it is not a TCP address.
    """
    text = text.strip()
    if text.lower() in _OFF:
        return None
    if text.lower() == DEFAULT:
        return default()
    try:
        return Address(*_host_and_port(text.removeprefix("tcp://")))
    except ValueError as error:
        raise ValueError(f"{text!r} is no address: HOST:PORT is needed, or none") from error


def _host_and_port(text: str) -> tuple[str, int]:
    if text.isdigit():
        return default().host, _port(text)
    if text.startswith("["):
        host, closed, port = text[1:].partition("]")
        ipaddress.IPv6Address(host)
        if not closed or not (port == "" or port.startswith(":")):
            raise ValueError(text)
        return host, _port(port[1:])
    if text.count(":") > 1:
        return str(ipaddress.IPv6Address(text)), DEFAULT_METRICS_PORT
    host, _, port = text.partition(":")
    if not all(each.isalnum() or each in "-._" for each in host):
        raise ValueError(text)
    return host.lower() or EVERY_HOST, _port(port)


def _port(text: str) -> int:
    if not text:
        return DEFAULT_METRICS_PORT
    if not text.isdecimal() or not 0 < int(text) <= _HIGHEST_PORT:
        raise ValueError(text)
    return int(text)
