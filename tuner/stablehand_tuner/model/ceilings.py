"""All ceilings that are known of an app, and what they leave of the settings that the model wants."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

from stablehand_tuner.contracts.settings import WorkerClass
from stablehand_tuner.model.ceiling import MOST_FOUND, Ceiling, Level, wait_seconds
from stablehand_tuner.model.compose import EVENT_LOOPS, compose

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stablehand_tuner.contracts.settings import Range, Settings
    from stablehand_tuner.policy import Policy
    from stablehand_tuner.reasons import Reason

MOST_CEILINGS = 6


@dataclasses.dataclass(frozen=True)
class Limit:
    """A ceiling as it counts now: at most `slots` of its level."""

    ceiling: Ceiling
    slots: int


@dataclasses.dataclass(frozen=True)
class Ceilings:
    """The ceilings, the newest last; at most one of a level, of harm or of no gain, and of a kind of requests."""

    known: tuple[Ceiling, ...] = ()

    def limits(self, cost: float | None, now: float) -> tuple[Limit, ...]:
        """Return those that count now for requests of a CPU cost."""
        return tuple(Limit(each, each.allowed(now)) for each in self.known if each.concerns(cost))

    def shared(self, settings: Settings, pods: float) -> tuple[Limit, ...]:
        """Return the ceilings of harm that several pods together exceed with these settings."""
        return tuple(
            Limit(each, each.good)
            for each in self.known
            if each.level is Level.APP and each.is_harm and pods > 1 and each.level.slots(settings, pods) > each.good
        )

    def with_found(
        self, level: Level, reason: Reason, *, good: int, bad: int, cost: float | None, now: float
    ) -> Ceilings:
        """Add what was found; one that was known is confirmed, and holds for longer."""
        new = Ceiling(level, reason, good, max(bad, good + 1), cost, now)
        new = dataclasses.replace(new, cost=None if new.is_harm else cost)
        same = [
            each
            for each in self.known
            if (each.level, each.is_harm) == (level, new.is_harm) and (new.is_harm or each.concerns(cost))
        ]
        # found anew only if its time was over: within it, the search between its two numbers goes on
        found = max((each.found + (now >= each.until) for each in same), default=1)
        new = dataclasses.replace(new, found=min(MOST_FOUND, found))
        new = dataclasses.replace(new, until=now + wait_seconds(is_harm=new.is_harm, found=new.found))
        return Ceilings((*(each for each in self.known if each not in same), new)[-MOST_CEILINGS:])

    def without(self, level: Level, reason: Reason) -> Ceilings:
        """Return them without those of a level and a reason: they turned out to be of another level."""
        return Ceilings(tuple(each for each in self.known if (each.level, each.reason) != (level, reason)))

    def without_harm_since(self, moment: float) -> Ceilings:
        """Return them without those of failed requests that were found since then: something else made them fail."""
        return Ceilings(tuple(each for each in self.known if not each.is_harm or each.found_at < moment))

    def passed(self, settings: Settings, pods: float, cost: float | None, now: float) -> Ceilings:
        """Note that some settings did no harm: what they exceed is no ceiling, or is a higher one."""
        kept = []
        for each in self.known:
            slots = each.level.slots(settings, pods)
            if slots <= each.good or not each.concerns(cost):
                kept.append(each)
            elif slots < each.bad and now < each.until:
                kept.append(dataclasses.replace(each, good=slots))
        return Ceilings(tuple(kept))

    def not_after(self, now: float) -> Ceilings:
        """Return them without times farther in the future than they were set to, as after the clock was set back."""
        return Ceilings(
            tuple(
                dataclasses.replace(
                    each, until=min(each.until, now + wait_seconds(is_harm=each.is_harm, found=each.found))
                )
                for each in self.known
            )
        )

    def to_list(self) -> list[dict[str, Any]]:
        """Return them as plain JSON."""
        return [each.to_mapping() for each in self.known]

    @classmethod
    def from_list(cls, values: Sequence[Any]) -> Ceilings:
        """Read what `to_list` wrote.

        Raises:
            ValueError, TypeError, KeyError: when it is not that.
        """
        return cls(tuple(Ceiling.from_mapping(each) for each in values)[-MOST_CEILINGS:])


def reduced(policy: Policy, settings: Settings, slots: int) -> Settings:
    """Return settings of the same class with at most so many slots, in as many processes as that allows."""
    workers = max(1, min(settings.workers, slots))
    return compose(policy, settings.worker_class, workers, max(1, slots // workers))


def within(
    policy: Policy,
    limits: Sequence[Limit],
    wanted: Settings,
    *,
    current: Settings,
    processes: Range,
    pods: float,
    candidates: Sequence[WorkerClass],
) -> tuple[Settings, Limit | None]:
    """Return the wanted settings as far as the ceilings allow them, and the one that allows no more, if one does.

    Only growth is limited. Where the slots of a process are, more processes take their place; an event loop that is
    left with few slots gives way to threads, because its slots are connections, the idle ones among them.
    """
    stopped: Limit | None = None
    if (wanted.slots, wanted.workers) <= (current.slots, current.workers):
        return wanted, None
    settings = wanted
    for limit in sorted(limits, key=lambda each: each.ceiling.level is not Level.PROCESS):
        level = limit.ceiling.level
        if level.slots(settings, pods) <= limit.slots:
            continue
        stopped = limit
        if level is Level.PROCESS:
            each = limit.slots
            workers = processes.clamp(math.ceil(settings.slots / each))
        else:
            most = max(1, limit.slots if level is Level.POD else int(limit.slots / pods))
            workers = min(settings.workers, most)
            each = most // workers
        settings = compose(policy, _class_of_few(settings, each, current, candidates, policy), workers, each)
    if stopped is None:
        return wanted, None
    exceeds = any(each.ceiling.level.slots(settings, pods) > each.slots for each in limits)
    if exceeds or (settings.slots, settings.workers) <= (current.slots, current.workers):
        return current, stopped
    return settings, stopped


def _class_of_few(
    wanted: Settings, each: int, current: Settings, candidates: Sequence[WorkerClass], policy: Policy
) -> WorkerClass:
    if wanted.worker_class in EVENT_LOOPS and current.worker_class is wanted.worker_class:
        return wanted.worker_class
    if each == 1 and current.worker_class is not WorkerClass.GTHREAD and WorkerClass.SYNC in candidates:
        return WorkerClass.SYNC
    if wanted.worker_class in EVENT_LOOPS and WorkerClass.GTHREAD in candidates and each <= policy.threads.highest:
        return WorkerClass.GTHREAD
    return wanted.worker_class
