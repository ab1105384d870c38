"""Which generation is wanted and which serves: what a change of settings begins, completes or undoes. No effects."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stablehand_server.master.generation import Generation
    from stablehand_tuner.contracts.settings import Settings


class Switching:
    """The state of a switch.

    Attributes:
        target: the generation that is wanted.
        serving: the last one that was all there: the target, or, while a switch goes on, the one to go back to. None
            until the first has come.
        replaced: how many workers of other generations served when the switch began.
    """

    def __init__(self, first: Generation) -> None:
        self.target = first
        self.serving: Generation | None = None
        self.replaced = 0
        self._highest_number = first.number

    @property
    def settled(self) -> bool:
        """Whether no switch goes on."""
        return self.serving is self.target

    @property
    def next_number(self) -> int:
        """The number of a generation that needs processes of its own."""
        return self._highest_number + 1

    def number_for(self, settings: Settings) -> int:
        """Return the number of a generation for the settings: that of one at hand whose processes would do for it."""
        at_hand = [self.target]
        # Of two versions of one generation the newer one tells what its processes have grown to.
        if self.serving is not None and self.serving.number != self.target.number:
            at_hand.append(self.serving)
        return next((each.number for each in at_hand if each.runs_in_place(settings)), self.next_number)

    def is_wanted_already(self, wanted: Generation) -> bool:
        """Return whether a generation asks for nothing but what the target is."""
        target = self.target
        return (wanted.number, wanted.workers, wanted.settings) == (target.number, target.workers, target.settings)

    def begin(self, wanted: Generation, *, replaced: int) -> None:
        """Want another generation from now on."""
        self.target = wanted
        self.replaced = replaced
        self._highest_number = max(self._highest_number, wanted.number)

    def complete(self) -> None:
        """Note that the target is all there."""
        self.serving = self.target
        self.replaced = 0

    def undo(self) -> Generation | None:
        """Want again what served before, and return it; None where there is nothing to go back to.

        Where the processes are the same ones, what they have grown to in place stays: only their number goes back.
        """
        if self.serving is None or self.settled:
            return None
        if self.serving.number == self.target.number:
            self.serving = self.target.with_workers(self.serving.workers)
        self.target = self.serving
        self.replaced = 0
        return self.serving
