"""What the tuner remembers between two steps: a value, and as plain JSON small enough for a resource's status."""

from __future__ import annotations

import dataclasses
import enum
import math
from typing import TYPE_CHECKING, Any

from stablehand_tuner.contracts.settings import Settings, WorkerClass
from stablehand_tuner.decision import Decision
from stablehand_tuner.lifecycle.canary import Canary
from stablehand_tuner.lifecycle.retrial import Doubt
from stablehand_tuner.model.footprint import Footprint
from stablehand_tuner.model.kinds import Kinds
from stablehand_tuner.model.known import Known
from stablehand_tuner.observe.observation import Observation
from stablehand_tuner.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping

VERSION = 3
MOST_CHANGES = 1000  # whose moments are remembered: as many as a policy's budget for an hour can be
MOST_REFUSED = 8  # settings that a server refused and that are remembered


class Phase(str, enum.Enum):
    """Where in the life of a change the app is; there is never more than one change."""

    WATCHING = "watching"
    CANARY_APPLYING = "canary_applying"
    CANARY = "canary"
    APPLYING = "applying"
    TRIAL = "trial"
    ROLLING_BACK = "rolling_back"
    AGAIN = "again"


EMPTY_WINDOW: Mapping[str, Any] = {"window": None, "window_missing": 0, "window_scrapes": 0}
CANARY_PHASES = frozenset({Phase.CANARY_APPLYING, Phase.CANARY})  # in which one pod runs other settings than the rest


@dataclasses.dataclass(frozen=True)
class TunerState:
    """The tuner's memory of one app.

    `settings` is what every pod should run when no change is under way, and what a change falls back to; `target` is
    what the change under way leads to. `canary` is the pod that should run settings of its own, if one should: from the
    beginning of a canary until it is rolled back, or promoted and every pod runs its settings. `since` is when the
    phase began. `window` is what was observed since the last verdict (of the canary alone, while there is one), from
    `window_scrapes` scrapes and without the `window_missing` that failed; `baseline` is the window before the change,
    and `doubt` what a change did whose verdict was not clear. `changes` has when the changes of the last hour began,
    `direction` where the last one led, and `share` the CPU share that it was made at. `footprint` is what is known of
    the memory of requests, `kinds` what of their CPU shares; `memory_ceiling` is the least number of a pod's slots that
    ran out of memory, 0 if none did. `banned` holds the classes that failed, and why; `refused` the settings that a
    server refused. `verdict` is the last decision of a full window: it stands until the next one.
    """

    phase: Phase = Phase.WATCHING
    since: float | None = None
    settings: Settings | None = None
    target: Settings | None = None
    change: Decision | None = None
    canary: Canary | None = None
    baseline: Observation | None = None
    doubt: Doubt | None = None
    window: Observation | None = None
    window_missing: int = 0
    window_scrapes: int = 0
    warm_since: float | None = None
    warm_requests: float = 0.0
    next_change_at: float | None = None
    changes: tuple[float, ...] = ()
    reversals: int = 0
    direction: int = 0
    share: float | None = None
    shrink_since: float | None = None
    shrink_slots: int = 0
    shrink_workers: int = 0
    footprint: Footprint = dataclasses.field(default_factory=Footprint)
    kinds: Kinds = dataclasses.field(default_factory=Kinds)
    memory_ceiling: int = 0
    banned: Mapping[WorkerClass, Reason] = dataclasses.field(default_factory=dict)
    refused: tuple[Settings, ...] = ()
    verdict: Decision | None = None
    image: str | None = None
    note: str = ""

    @property
    def desired(self) -> Settings | None:
        """What every server of the app should run from now on; None until the tuner has seen what they run.

        A canary's settings are not meant: one pod alone runs them.
        """
        return self.settings if self.phase in CANARY_PHASES else self.target or self.settings

    @property
    def known(self) -> Known:
        """What earlier windows and changes have taught about the app."""
        return Known(frozenset(self.banned), self.footprint, self.kinds, self.memory_ceiling)

    @property
    def recommended(self) -> Settings | None:
        """What the tuner would have the app run: a recommendation that stands, else what is desired."""
        if self.verdict is not None and self.verdict.settings is not None:
            return self.verdict.settings
        return self.desired

    def for_image(self, image: str) -> TunerState:
        """Return the state for what the app now is: another image may behave in another way.

        Call it before each step with whatever identifies the code (the image, better its digest; the app's path). On a
        change the tuner warms up anew, and forgets what it held against classes and settings. A change under way ends
        where it is: its target is what the pods of the new image run; a canary's settings are given up.
        """
        if image == self.image:
            return self
        if self.image is None:
            return dataclasses.replace(self, image=image)
        return TunerState(image=image, settings=self.desired, changes=self.changes, note=self.note)

    def with_ceiling(self, slots: int) -> TunerState:
        """Return the state that knows that so many slots of a pod ran out of memory."""
        return dataclasses.replace(self, memory_ceiling=min(slots, self.memory_ceiling or slots))

    def to_mapping(self) -> dict[str, Any]:
        """Return the state as plain JSON."""
        return {
            "version": VERSION,
            "phase": self.phase.value,
            "since": self.since,
            "settings": _mapping(self.settings),
            "target": _mapping(self.target),
            "change": _mapping(self.change),
            "canary": _mapping(self.canary),
            "baseline": _mapping(self.baseline),
            "doubt": _mapping(self.doubt),
            "window": _mapping(self.window),
            "windowMissing": self.window_missing,
            "windowScrapes": self.window_scrapes,
            "warmSince": self.warm_since,
            "warmRequests": self.warm_requests,
            "nextChangeAt": self.next_change_at,
            "changes": list(self.changes),
            "reversals": self.reversals,
            "direction": self.direction,
            "share": self.share,
            "shrinkSince": self.shrink_since,
            "shrinkSlots": self.shrink_slots,
            "shrinkWorkers": self.shrink_workers,
            "footprint": self.footprint.to_list(),
            "kinds": self.kinds.to_list(),
            "memoryCeiling": self.memory_ceiling,
            "banned": {worker_class.value: reason.value for worker_class, reason in self.banned.items()},
            "refused": [each.to_mapping() for each in self.refused],
            "verdict": _mapping(self.verdict),
            "image": self.image,
            "note": self.note,
        }

    @classmethod
    def from_mapping(cls, fields: Mapping[str, Any] | None) -> TunerState:
        """Read what `to_mapping` wrote; None, or an empty object, is the state of an app never seen before.

        A corrupt state, or one of another version, does not raise: the tuner starts afresh, and its next step says so.
        """
        if not fields:
            return cls()
        try:
            return cls._read(fields)
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
            return cls(note=f"{type(error).__name__}: {error}"[:200])

    @classmethod
    def _read(cls, fields: Mapping[str, Any]) -> TunerState:
        if fields["version"] != VERSION:
            raise ValueError(f"version {fields['version']!r} is not {VERSION}")
        state = cls(
            phase=Phase(fields["phase"]),
            since=_moment(fields["since"]),
            settings=_settings(fields["settings"]),
            target=_settings(fields["target"]),
            change=_decision(fields["change"]),
            canary=None if fields["canary"] is None else Canary.from_mapping(fields["canary"]),
            baseline=_observation(fields["baseline"]),
            doubt=None if fields["doubt"] is None else Doubt.from_mapping(fields["doubt"]),
            window=_observation(fields["window"]),
            window_missing=_count(fields["windowMissing"]),
            window_scrapes=_count(fields["windowScrapes"]),
            warm_since=_moment(fields["warmSince"]),
            warm_requests=_moment(fields["warmRequests"]) or 0.0,
            next_change_at=_moment(fields["nextChangeAt"]),
            changes=tuple(_required_moment(each) for each in fields["changes"])[-MOST_CHANGES:],
            reversals=_count(fields["reversals"]),
            direction={-1: -1, 0: 0, 1: 1}[fields["direction"]],
            share=_moment(fields["share"]),
            shrink_since=_moment(fields["shrinkSince"]),
            shrink_slots=_count(fields["shrinkSlots"]),
            shrink_workers=_count(fields["shrinkWorkers"]),
            footprint=Footprint.from_list(fields["footprint"]),
            kinds=Kinds.from_list(fields["kinds"]),
            memory_ceiling=_count(fields["memoryCeiling"]),
            banned={
                WorkerClass(name): Reason(reason)  # type: ignore[call-arg]  # a lookup by value, not a new member
                for name, reason in fields["banned"].items()
            },
            refused=tuple(Settings.from_mapping(each) for each in fields["refused"])[-MOST_REFUSED:],
            verdict=_decision(fields["verdict"]),
            image=None if fields["image"] is None else str(fields["image"]),
            note=str(fields["note"]),
        )
        if (state.phase is not Phase.WATCHING) != (state.target is not None) or (
            state.target is not None and (state.settings is None or state.since is None or state.change is None)
        ):
            raise ValueError(f"phase {state.phase.value} does not go with its settings")
        if (state.phase in CANARY_PHASES and state.canary is None) or (
            state.canary is not None and state.phase not in CANARY_PHASES | {Phase.APPLYING}
        ):
            raise ValueError(f"phase {state.phase.value} does not go with its canary")
        if state.phase is Phase.AGAIN and state.doubt is None:
            raise ValueError("the settings before a change run again, but nothing says of which change")
        return state


def _mapping(value: Settings | Decision | Observation | Canary | Doubt | None) -> dict[str, Any] | None:
    return None if value is None else value.to_mapping()


def _settings(value: Any) -> Settings | None:
    return None if value is None else Settings.from_mapping(value)


def _decision(value: Any) -> Decision | None:
    return None if value is None else Decision.from_mapping(value)


def _observation(value: Any) -> Observation | None:
    return None if value is None else Observation.from_mapping(value)


def _moment(value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{value!r} is no number")
    return float(value)


def _required_moment(value: Any) -> float:
    moment = _moment(value)
    if moment is None:
        raise ValueError("a moment is missing")
    return moment


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{value!r} is no count")
    return value
