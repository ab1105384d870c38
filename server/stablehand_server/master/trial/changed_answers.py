"""Does the worker on trial answer otherwise than its siblings, or do all since a second process serves? Pure.

Answers that were rare before (`answers`) are compared as failed requests are. A worker is told apart from its siblings
at the same moment. But what an app keeps in its process's memory, such as sessions, is missing in another process
whichever of them is asked. So where the only worker has got a sibling, all answers since then are compared with those
before.

Clients differ, and one of them may ask for something that no other does, such as a page that does not exist. So nothing
is concluded from the answers to fewer than FEWEST_CLIENTS.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stablehand_server.master.trial import answers
from stablehand_server.master.trial.answers import FAILED, Answers
from stablehand_server.master.trial.comparison import NONE, Comparison

if TYPE_CHECKING:
    from collections.abc import Mapping

FEWEST_CLIENTS = 3
CHANGED_SHARE = 0.05  # of all answers: half of it is never harm, for a load's mixture changes too


def watched(before: Answers) -> tuple[int, ...]:
    """Return the kinds of answers whose clients the worker on trial is to tell apart."""
    return (*answers.rare(before), *FAILED)


class ChangedAnswers:
    """Watches the answers of one trial.

    Args:
        before: what the server has answered before.
        was_alone: whether there was only one worker before the trial, which now has a sibling.
    """

    def __init__(self, before: Answers, *, was_alone: bool) -> None:
        self._unusual = answers.rare(before)
        self._harmed = watched(before)
        self._beside = Comparison(CHANGED_SHARE, before.split(self._unusual))
        self._since = Comparison(CHANGED_SHARE, before.split(self._harmed)) if was_alone and self._unusual else None
        self._last: dict[int, Answers] = {}
        self._own = self._theirs = answers.NONE
        self._clients = 0

    def look(self, own: Answers, clients: int, siblings: Mapping[int, Answers], now: float) -> None:
        """Take up what the worker on trial, for how many clients, and its siblings have answered so far."""
        newly = own.since(self._own)
        theirs = answers.NONE
        for age, each in siblings.items():
            theirs = theirs.plus(each.since(self._last.get(age, each)))
        self._last = dict(siblings)
        self._own, self._theirs, self._clients = own, self._theirs.plus(theirs), clients
        if self._unusual:
            self._beside.add(newly.split(self._unusual), theirs.split(self._unusual), now)
        if self._since is not None:
            self._since.add(newly.plus(theirs).split(self._harmed), NONE, now)

    @property
    def differ(self) -> str:
        """In which way the worker on trial answers otherwise than its siblings; empty if it does not."""
        if self._clients < FEWEST_CLIENTS or not self._beside.harms:
            return ""
        own, theirs = self._own, self._theirs
        return (
            f"of {sum(own.counts):.0f} requests it answered {own.named(self._unusual)}, its siblings of "
            f"{sum(theirs.counts):.0f} meanwhile {theirs.named(self._unusual)}; that was rare before"
        )

    @property
    def differ_since_then(self) -> str:
        """In which way answers differ since the only worker has a sibling, whoever gives them; empty if they do not."""
        if self._since is None or self._clients < FEWEST_CLIENTS:
            return ""
        if not (self._since.harms or self._beside.harms):
            return ""
        both = self._own.plus(self._theirs)
        return (
            f"since a second process serves, of {sum(both.counts):.0f} requests {both.named(self._harmed)} were "
            "answered, which was rare before: perhaps the app keeps something in its process's memory"
        )
