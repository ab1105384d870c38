"""What the tuner has learned about an app, which no single window shows."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from stablehand_tuner.contracts.numbers import is_whole
from stablehand_tuner.contracts.settings import Settings, WorkerClass
from stablehand_tuner.model.ceilings import Ceilings
from stablehand_tuner.model.footprint import Footprint
from stablehand_tuner.model.kinds import Kinds
from stablehand_tuner.model.tries import Tries
from stablehand_tuner.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping

MOST_REFUSED = 8  # refused settings that are remembered


@dataclasses.dataclass(frozen=True)
class Known:
    """What earlier windows and changes have taught.

    Attributes:
        banned: the worker classes that failed, and why.
        refused: settings that a server refused, the newest last.
        footprint: the memory of a worker and of a request.
        kinds: the app's kinds of requests.
        memory_ceiling: the smallest number of slots with which a pod ran out of memory; 0 if none did.
        ceilings: from which number of slots on there is harm, or no gain.
        several: whether the app bears more than one process: what they did beside the only one, `TrialPassed` or the
            harm; None until that was tried.
        tries: what was tried without a result, and when it may be tried again.
    """

    banned: Mapping[WorkerClass, Reason] = dataclasses.field(default_factory=dict)
    refused: tuple[Settings, ...] = ()
    footprint: Footprint = dataclasses.field(default_factory=Footprint)
    kinds: Kinds = dataclasses.field(default_factory=Kinds)
    memory_ceiling: int = 0
    ceilings: Ceilings = dataclasses.field(default_factory=Ceilings)
    several: Reason | None = None
    tries: Tries = dataclasses.field(default_factory=Tries)

    @property
    def only_one_process(self) -> bool:
        """Whether a second process did harm."""
        return self.several not in {None, Reason.TRIAL_PASSED}

    def with_ceiling(self, slots: int) -> Known:
        """Add that a pod ran out of memory with this number of slots."""
        return dataclasses.replace(self, memory_ceiling=min(slots, self.memory_ceiling or slots))

    def with_refused(self, settings: Settings) -> Known:
        """Add that a server refused these settings."""
        others = (each for each in self.refused if each != settings)
        return dataclasses.replace(self, refused=(*others, settings)[-MOST_REFUSED:])

    def with_banned(self, worker_class: WorkerClass, reason: Reason) -> Known:
        """Add that this class failed."""
        return dataclasses.replace(self, banned={**self.banned, worker_class: reason})

    @property
    def only_this_process(self) -> bool:
        """Whether the app keeps something in its only process, which no other one can take over."""
        return self.several is Reason.TRIAL_ANSWERS

    def with_several(self, reason: Reason) -> Known:
        """Add what a second process beside the only one did."""
        return dataclasses.replace(self, several=reason)

    def to_mapping(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        return {
            "banned": {worker_class.value: reason.value for worker_class, reason in self.banned.items()},
            "refused": [each.to_mapping() for each in self.refused],
            "footprint": self.footprint.to_list(),
            "kinds": self.kinds.to_list(),
            "memoryCeiling": self.memory_ceiling,
            "ceilings": self.ceilings.to_list(),
            "several": None if self.several is None else self.several.value,
            "tries": self.tries.to_list(),
        }

    @classmethod
    def from_mapping(cls, fields: Mapping[str, Any]) -> Known:
        """Read what `to_mapping` wrote.

        Raises:
            ValueError, TypeError, KeyError, AttributeError: when it is not that.
        """
        ceiling, several = fields["memoryCeiling"], fields["several"]
        if not is_whole(ceiling) or ceiling < 0:
            raise ValueError(f"{ceiling!r} is not a number of slots")
        return cls(
            banned={
                WorkerClass(name): Reason(reason)  # type: ignore[call-arg]  # a lookup by value, not a new member
                for name, reason in fields["banned"].items()
            },
            refused=tuple(Settings.from_mapping(each) for each in fields["refused"])[-MOST_REFUSED:],
            footprint=Footprint.from_list(fields["footprint"]),
            kinds=Kinds.from_list(fields["kinds"]),
            memory_ceiling=ceiling,
            ceilings=Ceilings.from_list(fields["ceilings"]),
            several=None if several is None else Reason(several),  # type: ignore[call-arg]  # as above
            tries=Tries.from_list(fields["tries"]),
        )
