"""How certain the model is of what it proposes, and what it would have to know to be more certain."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stablehand_tuner.model.compose import direction

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stablehand_tuner.contracts.settings import Settings
    from stablehand_tuner.model.footprint import Footprint
    from stablehand_tuner.model.proposal import Proposal
    from stablehand_tuner.observe.load import Load
    from stablehand_tuner.observe.observation import Observation

SURE_ENOUGH = 0.1  # relative error of the CPU share: above it, more requests are worth waiting for


def shares(load: Load) -> tuple[float, float]:
    """Return the bounds of the CPU share that follow from the number of requests."""
    return max(0.001, load.cpu_share * (1 - load.relative_error)), min(1.0, load.cpu_share * (1 + load.relative_error))


def alternative(proposal: Proposal, others: Sequence[Proposal], current: Settings) -> str:
    """Return another choice that these bounds allow, if it leads the opposite way; otherwise nothing."""
    towards = direction(proposal.settings, current)
    for other in others:
        if direction(other.settings, current) * towards < 0:
            return f"{other.settings}"
    return ""


def cautions(observation: Observation, settings: Settings, current: Settings) -> tuple[str, ...]:
    """Return what a person should know about growth, a sentence each: no metric shows whether it matters."""
    runs, asked = observation.traits.runs, []
    known = {"scheduler": "a scheduler", "threads": "threads of its own", "child_processes": "child processes"}
    what = next((words for name, words in known.items() if name in runs), None)
    if what is not None and settings.workers > current.workers:
        asked.append(
            f"whether the app may run {what} in each of {settings.workers} processes: if not, workers.max is to be 1"
        )
    slots = round(settings.slots * observation.pods)
    if "persistent_connections" in runs and settings.slots > current.slots:
        asked.append(f"whether the database bears {slots} connections: each of as many slots keeps one")
    return tuple(asked)


def needs(observation: Observation, load: Load, current: Settings, footprint: Footprint) -> tuple[str, ...]:
    """Return what would have to be known to choose better, a sentence each."""
    missing = []
    if load.relative_error > SURE_ENOUGH:
        wanted = (2 / SURE_ENOUGH) ** 2
        missing.append(f"{wanted:.0f} requests in a window instead of {observation.requests:.0f}")
    if observation.memory_limit_bytes is None:
        missing.append("a memory limit: without one there is at most one process for each core")
    elif observation.worker_memory_bytes is None:
        missing.append("how much memory a worker uses: the server does not report it")
    elif footprint.request_bytes is None:
        missing.append("how much memory a request in flight adds to a worker: so far their number hardly varied")
    if load.worker_full and current.slots_per_worker > 1:
        missing.append("what requests wait for: while a process fills its core, its lock and a database look alike")
    return tuple(missing)
