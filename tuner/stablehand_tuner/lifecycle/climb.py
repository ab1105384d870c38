"""How far a climb is: the steps that it took, the best of them, and where it leads."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from stablehand_tuner.contracts.settings import Settings
from stablehand_tuner.decision import Decision
from stablehand_tuner.evidence.step import served_well
from stablehand_tuner.lifecycle import checked
from stablehand_tuner.model import usl
from stablehand_tuner.observe.observation import Observation

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MOST_STEPS = 24  # remembered


@dataclasses.dataclass(frozen=True)
class Step:
    """What one step showed: requests per second of a pod that did not fail, with these processes and slots in each."""

    workers: int
    slots_each: int
    served: float

    @classmethod
    def of(cls, settings: Settings, seen: Observation) -> Step:
        """Return what settings showed."""
        return cls(settings.workers, settings.slots_per_worker, served_well(seen))


@dataclasses.dataclass(frozen=True)
class Climb:
    """How far a climb is.

    Attributes:
        aim: the decision that it carries out: its settings are the goal.
        best: the last step that did good; at first what ran before.
        seen: what that step showed.
        steps: all steps whose result is known, the first one what ran before.
        searches: how many steps between harm and no harm were tried.
        bad: the fewest slots of a pod that did harm, or by all that was seen would; 0 if none did.
    """

    aim: Decision
    best: Settings
    seen: Observation
    steps: tuple[Step, ...] = ()
    searches: int = 0
    bad: int = 0

    def __post_init__(self) -> None:
        """Refuse a climb to nowhere."""
        if self.aim.settings is None:
            raise ValueError("a climb needs settings that it leads to")

    @property
    def goal(self) -> Settings:
        """The settings that it leads to."""
        return self.best if self.aim.settings is None else self.aim.settings

    @classmethod
    def begin(cls, aim: Decision, before: Settings, baseline: Observation) -> Climb:
        """Return a climb from what runs, as the baseline shows it."""
        return cls(aim, before, baseline, (Step.of(before, baseline),))

    def went_on(self, settings: Settings, seen: Observation) -> Climb:
        """Return the climb with a step that did good."""
        return dataclasses.replace(self.ended(settings, seen), best=settings, seen=seen)

    def ended(self, settings: Settings, seen: Observation) -> Climb:
        """Return the climb with a step that did no good: it counts for the law, but is not the best."""
        return dataclasses.replace(self, steps=(*self.steps, Step.of(settings, seen))[-MOST_STEPS:])

    def searching(self, goal: Settings) -> Climb:
        """Return the climb with another goal, between harm and no harm."""
        return dataclasses.replace(self, aim=dataclasses.replace(self.aim, settings=goal), searches=self.searches + 1)

    def expected(self, target: Settings, seen: Observation) -> float:
        """Return what a step serves by the law fitted to all steps, in times of what the best one serves by it."""
        slots = [(each.workers * each.slots_each, each.served) for each in self.steps]
        law = usl.fit([*slots, (target.slots, served_well(seen))])
        return 1.0 if law is None else law.throughput(target.slots) / law.throughput(self.best.slots)

    def explained(self, settings: Settings) -> str:
        """Return the law of the slots in a process, and that of the processes, as far as the steps show them."""
        inside = usl.fit([(each.slots_each, each.served) for each in self.steps if each.workers == settings.workers])
        across = usl.fit(
            [(each.workers, each.served) for each in self.steps if each.slots_each == settings.slots_per_worker]
        )
        return ", ".join(
            f"{where}: contention {law.contention:.0%}, coherency {law.coherency:.2%}"
            for where, law in (("inside a process", inside), ("between processes", across))
            if law is not None
        )

    def to_mapping(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        return {
            "aim": self.aim.to_mapping(),
            "best": self.best.to_mapping(),
            "seen": self.seen.to_mapping(),
            "steps": [list(dataclasses.astuple(each)) for each in self.steps],
            "searches": self.searches,
            "bad": self.bad,
        }

    @classmethod
    def from_mapping(cls, fields: Mapping[str, Any]) -> Climb:
        """Read what `to_mapping` wrote.

        Raises:
            ValueError, TypeError, KeyError: when it is not that.
        """
        return cls(
            aim=Decision.from_mapping(fields["aim"]),
            best=Settings.from_mapping(fields["best"]),
            seen=Observation.from_mapping(fields["seen"]),
            steps=tuple(_step(each) for each in fields["steps"])[-MOST_STEPS:],
            searches=checked.count(fields["searches"]),
            bad=checked.count(fields["bad"]),
        )


def _step(values: Sequence[Any]) -> Step:
    workers, slots_each, served = values
    return Step(checked.count(workers), checked.count(slots_each), checked.number(served))
