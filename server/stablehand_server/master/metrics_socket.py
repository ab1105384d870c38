"""The socket at which the metrics are served: the master opens it, and passes it to each exporter that it starts.

So no other process can take the port while an exporter restarts, and a client that connects meanwhile waits. The
default address, which the user has not asked for, gives way:

- if its port is in use at the start, the next free one is used;
- when code in the server's processes (the app, a hook) binds that port, the metrics move away first.

The latter is detected by a Python audit hook, which a worker's process inherits. The worker asks through a cell of the
shared memory, and waits for the master to release the port.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import sys
import time
import weakref
from typing import TYPE_CHECKING, Any

from stablehand_server.config.metrics_address import EVERY_HOST, EVERY_HOST_IPV6, LOOPBACK, Address, DefaultAddress
from stablehand_server.shared_memory import Server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from stablehand_server.shared_memory import Slots

VARIABLE = "STABLEHAND_METRICS_FD"  # by which a second master (SIGUSR2) gets the socket
_QUEUE = 64
_MOST_TRIES = 20  # at ports after the default one
_LONGEST_WAIT_SECONDS = 5.0  # of a worker, for the master to release it
_LOOK_SECONDS = 0.01
_NAMES_OF_EVERY_HOST = frozenset({"", EVERY_HOST, EVERY_HOST_IPV6})


class MetricsSocket:
    """The listening socket, its address, and which process has it.

    Attributes:
        address: where it listens, or should; None without metrics.
        bound: where it actually listens, which may be another port.
        socket: the socket, or None while there is none. No child but the exporter keeps it.
    """

    def __init__(self, shared: Slots, log: Any, hand_over: Callable[[], None]) -> None:
        """Create one that is not open.

        Args:
            shared: the memory in which a worker asks for the port.
            log: gunicorn's logger.
            hand_over: ends the exporter, so that it no longer holds the socket; a new one is started later.
        """
        self.address: Address | None = None
        self.bound: Address | None = None
        self.socket: socket.socket | None = None
        self._shared = shared
        self._log = log
        self._hand_over = hand_over
        self._master = os.getpid()
        self._keeping = False
        self._watching = False
        own = weakref.ref(self)
        os.register_at_fork(after_in_child=lambda: _after_fork(own))

    def open(self, address: Address) -> None:
        """Listen at an address, or at a later port if the address is the default.

        Raises:
            OSError: when that is impossible.
        """
        opened = listening(address)
        self._take(opened, address)

    def adopt(self, descriptor: int, address: Address) -> bool:
        """Adopt the socket of a former master, if it listens at the right address; return whether it does."""
        inherited = socket.socket(fileno=descriptor)
        inherited.set_inheritable(False)
        if not isinstance(address, DefaultAddress) and not _listens_at(inherited, address):
            inherited.close()
            return False
        self._take(inherited, address)
        return True

    def move(self, address: Address | None) -> None:
        """Listen at another address, or none: the new address is bound before the old one is closed.

        Raises:
            OSError: when it cannot be bound; nothing has changed then.
        """
        if address == self.address and type(address) is type(self.address):
            return
        old = self.socket
        if address is None:
            self.close()
        elif old is None:
            self.open(address)
        elif address == self.bound:  # the user now asks for what was the default, or the other way round
            self._take(old, address)
        else:
            try:
                opened = listening(address)
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
                opened = self._instead_of(old, address)
            self._hand_over()
            old.close()
            self._take(opened, address)

    def close(self) -> None:
        """Stop listening."""
        self._shared.server[Server.YIELDING_PORT] = 0.0
        self.address = self.bound = None
        if self.socket is not None:
            self._hand_over()
            self.socket.close()
            self.socket = None

    def give_way_if_asked(self) -> None:
        """Move to another port if a worker asks for this one."""
        if self._shared.server[Server.PORT_WANTED]:
            self._give_way()
            self._shared.server[Server.PORT_WANTED] = 0.0

    @contextlib.contextmanager
    def kept(self, *, over_exec: bool = False) -> Iterator[None]:
        """Let a process that is forked meanwhile keep the socket, even across exec."""
        self._keeping = True
        if self.socket is not None:
            self.socket.set_inheritable(over_exec)
        try:
            yield
        finally:
            self._keeping = False
            if self.socket is not None:
                self.socket.set_inheritable(False)

    def _take(self, opened: socket.socket, address: Address) -> None:
        self.socket, self.address = opened, address
        self.bound = bound = Address(*opened.getsockname()[:2])
        default = isinstance(address, DefaultAddress)
        self._shared.server[Server.YIELDING_PORT] = float(bound.port) if default else 0.0
        if default and not self._watching:
            self._watching = True
            sys.addaudithook(self._see)
        self._log.info("Metrics at: http://%s/metrics", bound)

    def _instead_of(self, old: socket.socket, address: Address) -> socket.socket:
        """Listen at an address that only the old socket itself may occupy."""
        before = self.bound
        if before is None or address.port != before.port:
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
        self._hand_over()
        old.close()
        try:
            return listening(Address(*address))
        except OSError:
            self.socket = listening(before)
            raise

    def _see(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Release the port to a socket that is about to be bound to it: the audit hook."""
        if event != "socket.bind":
            return
        port = int(self._shared.server[Server.YIELDING_PORT])
        if not port or not self._is_in_the_way_of(arguments[0], arguments[1], port):
            return
        if os.getpid() == self._master:
            self._give_way()
            return
        self._shared.server[Server.PORT_WANTED] = 1.0
        until = time.monotonic() + _LONGEST_WAIT_SECONDS
        while self._shared.server[Server.PORT_WANTED] and time.monotonic() < until:
            time.sleep(_LOOK_SECONDS)

    def _is_in_the_way_of(self, other: socket.socket, address: Any, port: int) -> bool:
        if other.family not in {socket.AF_INET, socket.AF_INET6} or other.type != socket.SOCK_STREAM:
            return False
        if not isinstance(address, tuple) or address[1:2] != (port,):
            return False
        hosts = {address[0], self.address.host if self.address else ""}
        return len(hosts) == 1 or bool(hosts & _NAMES_OF_EVERY_HOST) or "localhost" in hosts

    def _give_way(self) -> None:
        address, old, bound = self.address, self.socket, self.bound
        self._shared.server[Server.YIELDING_PORT] = 0.0  # the next bind is our own
        if old is None or address is None or bound is None:
            return
        self._log.warning(
            "The app, or a hook, binds port %s: the metrics move to another one (--metrics-bind names one to keep)",
            bound.port,
        )
        self._hand_over()
        try:
            opened = listening(DefaultAddress(address.host, bound.port + 1))
        except OSError as error:
            self._log.error("There are no metrics any more: %s", in_words(address, error))
            self.close()
            return
        old.close()
        self._take(opened, address)


def listening(address: Address) -> socket.socket:
    """Return a socket that listens at an address; at a later port, if the address is the default and in use.

    Raises:
        OSError: when that is impossible.
    """
    last = address.port + (_MOST_TRIES if isinstance(address, DefaultAddress) else 0)
    for port in range(address.port, last):
        try:
            return _listening(address.host, port)
        except OSError as error:  # noqa: PERF203 (a few times at the most)
            if error.errno != errno.EADDRINUSE:
                raise
    return _listening(address.host, last)


def in_words(address: Address, error: OSError) -> str:
    """Return why there can be no metrics at an address, in a sentence that says what to do."""
    return (
        f"the metrics cannot be served at {address} ({error.strerror or error}): "
        "choose another address with --metrics-bind, or none"
    )


def to_connect_to(bound: Address) -> Address:
    """Return the address at which a process of this machine reaches a socket."""
    instead = {EVERY_HOST: LOOPBACK, EVERY_HOST_IPV6: "::1"}
    return Address(instead.get(bound.host, bound.host), bound.port)


def _listening(host: str, port: int) -> socket.socket:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    found.sort(key=lambda each: each[0] != socket.AF_INET)  # localhost is 127.0.0.1 if it has both
    for place, (family, kind, protocol, _, address) in enumerate(found, 1):
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if host == EVERY_HOST_IPV6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)  # IPv4 too
            listener.bind(address)
            listener.listen(_QUEUE)
        except OSError:
            listener.close()
            if place == len(found):
                raise
        else:
            listener.setblocking(False)
            return listener
    raise OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))


def _listens_at(listener: socket.socket, address: Address) -> bool:
    """Return whether a socket listens at an address, whatever its name."""
    bound = listener.getsockname()[:2]
    with contextlib.suppress(OSError):
        return any(bound == each[4][:2] for each in socket.getaddrinfo(*address, type=socket.SOCK_STREAM))
    return False


def _after_fork(own: weakref.ref[MetricsSocket]) -> None:
    metrics = own()
    if metrics is not None and metrics.socket is not None and not metrics._keeping:  # noqa: SLF001 (the same module)
        metrics.socket.close()
        metrics.socket = None
