"""Which generation is wanted and which serves: the state that a change starts, completes or rolls back. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stablehand_server.master.generation import Generation
    from stablehand_tuner.contracts.settings import Settings


class Switching:
    """The state of a switch.

    Attributes:
        serving: the last one that was complete: the target, or, during a switch, the one to roll back to. None until
            the first is complete.
        replaced: how many workers of other generations served when the switch began.
    """

    def __init__(self, first: Generation) -> None:
        self._target = first
        self.serving: Generation | None = None
        self.replaced = 0
        self._highest_number = first.number

    @property
    def target(self) -> Generation:
        """The wanted generation; only `begin` and `undo` change it, so that no number is given twice."""
        return self._target

    @property
    def settled(self) -> bool:
        """Whether no switch is in progress."""
        return self.serving is self.target

    @property
    def next_number(self) -> int:
        """The number for a generation that needs new processes."""
        return self._highest_number + 1

    def take_number(self) -> int:
        """Return a number that no generation has had, and none will have: that of a trial."""
        self._highest_number += 1
        return self._highest_number

    def number_for(self, settings: Settings) -> int:
        """Return the generation number for the settings: that of a current one that can run them, or a new one."""
        at_hand = [self.target]
        # Two versions of one generation have the same processes.
        if self.serving is not None and self.serving.number != self.target.number:
            at_hand.append(self.serving)
        return next((each.number for each in at_hand if each.runs_in_place(settings)), self.next_number)

    def is_wanted_already(self, wanted: Generation) -> bool:
        """Return whether a generation is no different from the target."""
        target = self.target
        return (wanted.number, wanted.workers, wanted.settings) == (target.number, target.workers, target.settings)

    def begin(self, wanted: Generation, *, replaced: int) -> None:
        """Make another generation the target."""
        self._target = wanted
        self.replaced = replaced
        self._highest_number = max(self._highest_number, wanted.number)

    def complete(self) -> None:
        """Note that the target is complete."""
        self.serving = self.target
        self.replaced = 0

    def undo(self) -> Generation | None:
        """Make the generation that served before the target again, and return it; None if there is none."""
        if self.serving is None or self.settled:
            return None
        self._target = self.serving
        self.replaced = 0
        return self.serving
