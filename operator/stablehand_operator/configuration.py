"""How one operator is run: typed, with the defaults that the command line shows."""

from __future__ import annotations

import dataclasses


class InvalidConfiguration(ValueError):  # noqa: N818 (a reader meets it in a sentence: "invalid configuration: ...")
    """An invalid configuration; the message is one sentence."""


@dataclasses.dataclass(frozen=True)
class Configuration:
    """How one operator is run.

    Raises:
        InvalidConfiguration: when a value is invalid.
    """

    namespaces: tuple[str, ...] = ()
    """The namespaces to watch; none means all."""

    bind: str = "0.0.0.0:9465"
    """Where health and metrics are served: an address and a port."""

    scrape_interval: float = 5.0
    """Seconds between two scrapes of a pod."""

    scrape_timeout: float = 2.0
    """Seconds that a pod may take to answer."""

    resync_interval: float = 15.0
    """Seconds between two listings of everything, to compare it again."""

    blind_after: float = 60.0
    """Seconds without progress after which the liveness probe fails."""

    def __post_init__(self) -> None:
        """Validate every field."""
        for name in ("scrape_interval", "scrape_timeout", "resync_interval", "blind_after"):
            if getattr(self, name) <= 0:
                raise InvalidConfiguration(f"{name.replace('_', '-')} must be more than 0 seconds")
        if self.blind_after <= max(self.resync_interval, self.scrape_interval):
            raise InvalidConfiguration(
                f"blind-after is {self.blind_after:g} s, but listings are made every {self.resync_interval:g} s and "
                f"ticks every {self.scrape_interval:g} s: it must be longer than both"
            )
        _ = self.address

    @property
    def address(self) -> tuple[str, int]:
        """The address and the port of `bind`."""
        host, separator, port = self.bind.rpartition(":")
        if not separator or not port.isdigit() or int(port) > 65535:  # noqa: PLR2004 (the highest port)
            raise InvalidConfiguration(f"bind is {self.bind!r}, but must be ADDRESS:PORT, for example 0.0.0.0:9465")
        return host.strip("[]") or "0.0.0.0", int(port)
