"""Where the metrics are served: the address that somebody has asked for, or the default.

The default is loopback, which nobody else can reach; in a container it is every address, since there the scrape and the
probes come from outside. Nobody has asked for the default, so it gives way: to whoever has the port already, and to the
app, if that wants it.
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
    """Host and port of TCP; the host is a name or an address without brackets."""

    host: str
    port: int

    def __str__(self) -> str:
        """Return it as it stands in a URL."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class DefaultAddress(Address):
    """An address that nobody has asked for."""

    __slots__ = ()


def default(
    environ: Mapping[str, str] = os.environ,
    pid: int | None = None,
    exists: Callable[[str], bool] = lambda path: Path(path).exists(),
) -> DefaultAddress:
    """Return the address for whoever names none: loopback, or in a container every address.

    A container it is where Kubernetes, Docker or Podman have left their mark, or this is the first process. In a
    cluster whose own address is of IPv6 the pods may have no other: there it is every address of both versions.

    Args:
        environ: the environment's variables.
        pid: this process's id, by default asked of the system.
        exists: tells whether there is a file.
    """
    kubernetes = environ.get(_OF_KUBERNETES)
    if kubernetes is not None and ":" in kubernetes:
        return DefaultAddress(EVERY_HOST_IPV6, DEFAULT_METRICS_PORT)
    first = (os.getpid() if pid is None else pid) == _FIRST_PROCESS
    contained = kubernetes is not None or first or any(map(exists, _MARKS_OF_CONTAINERS))
    return DefaultAddress(EVERY_HOST if contained else LOOPBACK, DEFAULT_METRICS_PORT)


def parse(text: str) -> Address | None:
    """Return the address that a text names, or None for "none" and "off".

    Understood are HOST:PORT, HOST, PORT, :PORT (every address of IPv4), [IPV6]:PORT, and "auto" for the default. What
    is left out is as in the default.

    Raises:
        ValueError: when it is no address of TCP.
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
