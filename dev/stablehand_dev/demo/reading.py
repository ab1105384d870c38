"""One look at the app: what the live table shows of it, wherever it comes from."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from stablehand_tuner.contracts.settings import Settings
from stablehand_tuner.observe.observation import CounterReset, observe

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stablehand_tuner.observe.snapshot import Snapshot


@dataclasses.dataclass(frozen=True)
class Decided:
    """A decision of the tuner that was more than to hold: its action, the settings after it, and why."""

    action: str
    settings: str
    message: str


@dataclasses.dataclass(frozen=True)
class Reading:
    """What is known of the app at one moment; None where it is not known yet.

    `busy` is the mean number of requests inside the app, `cpu_share` the part of a request that is computing (0 to 1).
    `decisions` are all so far, the oldest first.
    """

    settings: Settings | None = None
    slots: float | None = None
    busy: float | None = None
    cpu_share: float | None = None
    reason: str = ""
    message: str = ""
    decisions: tuple[Decided, ...] = ()

    @property
    def changed(self) -> bool:
        """Whether the tuner has changed anything yet."""
        return any(each.action == "apply" for each in self.decisions)


def from_status(status: Mapping[str, Any]) -> Reading:
    """Read the status of a WSGIApp."""
    observed = status.get("observed") or {}
    active = (status.get("settings") or {}).get("active")
    history = reversed(status.get("history") or [])
    return Reading(
        settings=None if active is None else Settings.from_mapping(active),
        slots=observed.get("slots"),
        busy=observed.get("busySlots"),
        cpu_share=observed.get("cpuShare"),
        reason=status.get("reason", ""),
        message=status.get("message", ""),
        decisions=tuple(Decided(each["action"], each.get("to", ""), each.get("message", "")) for each in history),
    )


def from_snapshots(earlier: Snapshot | None, later: Snapshot | None) -> Reading:
    """Read two scrapes of one server; an empty reading when there are none to compare."""
    if earlier is None or later is None:
        return Reading()
    try:
        observation = observe(earlier, later)
    except CounterReset:
        return Reading()
    return Reading(
        settings=observation.settings_active,
        slots=observation.slots,
        busy=observation.in_app,
        cpu_share=observation.cpu_share,
    )
