"""The sockets that the server listens on: how full their queues are, and other ones after a reload."""

from __future__ import annotations

import socket
import struct
from typing import TYPE_CHECKING, Any

from gunicorn import sock

from stablehand_server.candidate import copied

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gunicorn.config import Config

# struct tcp_info (include/uapi/linux/tcp.h): for a listening socket tcpi_unacked is the length of the accept queue and
# tcpi_sacked its limit.
_TCP_INFO_BYTES = 104
_QUEUE_AND_LIMIT = struct.Struct("=24xII")


def backlog(listeners: Sequence[Any]) -> tuple[int, int]:
    """Return how many connections wait in the kernel to be accepted, and how many may, over all TCP listeners."""
    waiting = limit = 0
    for listener in listeners:
        if getattr(listener, "FAMILY", None) not in {socket.AF_INET, socket.AF_INET6}:
            continue  # Unix sockets do not tell
        try:
            info = listener.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES)
        except (OSError, AttributeError):
            continue  # closed meanwhile, or a system without TCP_INFO
        queue, most = _QUEUE_AND_LIMIT.unpack_from(info)
        waiting += queue
        limit += most
    return waiting, limit


def rebound(listeners: Sequence[Any], config: Config, log: Any) -> list[Any]:
    """Return listeners for the configuration's addresses: those that stay as they are, and new ones.

    Raises:
        OSError: when an address cannot be bound; nothing has changed then.
    """
    kept = [each for each in listeners if each.cfg_addr in config.address]
    bound = {each.cfg_addr for each in kept}
    opened: list[Any] = []
    try:
        for address in config.address:
            if address not in bound:
                scratch = _only(config, address)
                opened += sock.create_sockets(scratch, log)
    except SystemExit as error:  # gunicorn's way to say that it could not
        for each in opened:
            each.close()
        raise OSError(f"cannot listen at {address}") from error
    for each in listeners:
        if each not in kept:
            each.close()
    return [*kept, *opened]


def _only(config: Config, address: tuple[str, int] | str) -> Config:
    scratch = copied(config)
    scratch.set("bind", [f"unix:{address}" if isinstance(address, str) else _host_and_port(*address[:2])])
    return scratch


def _host_and_port(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
