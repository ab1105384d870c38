"""What is seen of settings that every server should run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stablehand_tuner.observe import aggregation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stablehand_tuner.contracts.settings import Settings
    from stablehand_tuner.lifecycle.inputs import Inputs
    from stablehand_tuner.lifecycle.window import Window
    from stablehand_tuner.observe.observation import Observation


UNEVEN_SECONDS = 20.0  # somewhat more than pods let a client keep its connection, on average
QUEUE = 1.0  # requests that wait, for each slot of a pod: it has more clients than it can serve
UNUSED = 0.5  # of the slots of a pod in use at most: it has fewer


def observed(inputs: Inputs, window: Window, settings: Settings, *, since: float, all_of_them: bool = False) -> Window:
    """Add the servers that have run the settings ever since their last scrape: only they show what these do.

    Where what all of them show is compared within seconds, a round in which one is missing shows nothing. Nor does one
    in which clients queue for some pods while others have nobody to serve, soon after a change: what is served depends
    on where the clients' connections happen to be then, and they are about to spread. Requests that fail always count.
    """
    if inputs.now - since < UNEVEN_SECONDS and uneven(inputs.present):
        return window
    proven = [each for each in inputs.present if each.steady and each.settings_active == settings]
    counts = proven and (not all_of_them or len(proven) == len(inputs.observations))
    together = aggregation.combine(proven) if counts else None
    missing = len(inputs.observations) - len(proven)
    return window.add(together, missing=missing, scrapes=len(inputs.observations))


def uneven(pods: Sequence[Observation]) -> bool:
    """Tell whether requests queue for some pods while others have free slots and nobody who waits; none fails."""
    if any(each.errors for each in pods):
        return False
    queue = any(each.waiting >= QUEUE * each.slots for each in pods)
    return queue and any(each.waiting < 1.0 and each.in_app <= UNUSED * each.slots for each in pods)


def set_from_outside(inputs: Inputs, settings: Settings) -> Settings | None:
    """Return what was set from outside on every pod that can be observed; None if that is not so."""
    present = inputs.present
    if not present or not all(each.steady and each.settings_desired not in {settings, None} for each in present):
        return None
    return present[0].settings_desired


def not_running(inputs: Inputs, settings: Settings) -> list[Observation | None]:
    """Return what is seen of the servers that do not run the settings; None for one that cannot be scraped."""
    return [each for each in inputs.observations.values() if each is None or each.settings_active != settings]


def refusals(others: list[Observation | None]) -> int:
    """Return how many of the servers refused settings, or rolled them back."""
    return sum(each is not None and bool(each.switches_rejected or each.switches_rolled_back) for each in others)
