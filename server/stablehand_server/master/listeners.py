"""The sockets that the server listens on: which are kept, opened and closed when a reload names other addresses.

Other processes may also listen on a socket that this server did not create (`--bind fd://N`, systemd, the previous
master): it is closed here, but never shut down, and its file is never removed. A master started by SIGUSR2 learns from
the previous one which of the sockets that one created: once it is alone, it owns them.
"""

from __future__ import annotations

import contextlib
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stablehand_server.gunicorn_internals.sockets import TCP6Socket, TCPSocket, UnixSocket, is_ipv6

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from stablehand_server.gunicorn_internals.settings import Config

_ABSTRACT = "\0"  # begins the name of a Unix socket without a file
MADE_VARIABLE = "STABLEHAND_MADE_FD"  # the descriptors among GUNICORN_FD that a former master created


@dataclasses.dataclass(frozen=True)
class Inheritance:
    """The descriptors that a former master hands over at SIGUSR2, and those among them that it created."""

    descriptors: tuple[int, ...] = ()
    made: frozenset[int] = frozenset()

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Inheritance:
        """Read them from the environment, before gunicorn removes them from it.

        Raises:
            ValueError: when it is not a list of numbers.
        """
        descriptors, made = (environ.get(name, "").split(",") for name in ("GUNICORN_FD", MADE_VARIABLE))
        return cls(tuple(map(int, filter(None, descriptors))), frozenset(map(int, filter(None, made))))

    def handed_over(self, opened: Sequence[Any], config: Config, *, systemd: bool) -> list[Any]:
        """Return those of the listeners that this server did not create.

        Args:
            opened: the listeners as gunicorn has opened them: descriptors of the configuration first.
            config: the configuration that it has opened them by.
            systemd: whether they are systemd's.
        """
        if self.descriptors:
            by_master = dict(zip(reversed(opened), reversed(self.descriptors), strict=False))
            return [each for each in opened if by_master.get(each) not in self.made]
        given = systemd or any(isinstance(address, int) for address in config.address)  # either is all there is then
        return list(opened) if given else []


def rebound(
    current: Sequence[Any], running: Config, wanted: Config, log: Any, *, others: Sequence[Any] = ()
) -> list[Any]:
    """Return listeners for a configuration's addresses: those that are already open, and new ones.

    None is closed here: the workers that serve listen on the old ones until the new ones are ready.

    Args:
        current: the listeners of the configuration that the master runs.
        running: that configuration.
        wanted: the new configuration.
        log: gunicorn's logger.
        others: other open listeners of the master, from a reload that is not completed.

    Raises:
        OSError: when an address cannot be bound; nothing has changed then, and nothing was waited for.
    """
    if (wanted.address, wanted.reuse_port) == (running.address, running.reuse_port):
        return list(current)  # also where they are no addresses of ours: handed over by systemd, or as descriptors
    if wanted.reuse_port:
        if not running.reuse_port:
            raise OSError("reuse_port cannot be switched on while the server serves: restart it")
        return []  # each worker opens its own
    bound = {each.cfg_addr: each for each in (*others, *current)}
    opened: list[Any] = []
    for address in wanted.address:
        if address in bound:
            continue
        try:
            bound[address] = _opened(address, wanted, log)
        except (OSError, ValueError) as error:
            close(opened)
            reason = getattr(error, "strerror", None) or error
            raise OSError(f"cannot listen at {_in_words(address)}: {reason}") from error
        opened.append(bound[address])
    return [bound[address] for address in wanted.address]


def close(listeners: Iterable[Any], *, unlink: bool = True) -> None:
    """Close listeners, and remove the files of Unix sockets."""
    for listener in listeners:
        listener.close()
        address = listener.cfg_addr
        if unlink and isinstance(address, str) and not address.startswith(_ABSTRACT):
            with contextlib.suppress(FileNotFoundError):  # another process was faster
                Path(address).unlink()


def _opened(address: Any, config: Config, log: Any) -> Any:
    if isinstance(address, int):
        raise OSError("a descriptor can only be handed over at the start")
    if isinstance(address, str):
        return UnixSocket(address, config, log)
    return (TCP6Socket if is_ipv6(address[0]) else TCPSocket)(address, config, log)


def _in_words(address: Any) -> str:
    if isinstance(address, int):
        return f"fd://{address}"
    if isinstance(address, str):
        return f"unix:{address}"
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
