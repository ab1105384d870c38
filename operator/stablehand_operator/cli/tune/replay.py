"""What a policy would have advised on a recorded history.

The policy runs in mode Recommend, whatever its mode: the recording shows what the pods did under their settings, not
what they would have done under others.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from stablehand_simulator.run import Round, Run
from stablehand_tuner.controller import step
from stablehand_tuner.lifecycle.state import TunerState
from stablehand_tuner.observe import aggregation
from stablehand_tuner.observe.observation import CounterReset, Observation, observe
from stablehand_tuner.policy import Mode, Policy

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stablehand_operator.cli.tune.recording import RecordedRound
    from stablehand_tuner.observe.snapshot import Snapshot


def replay(policy: Policy, rounds: Iterable[RecordedRound]) -> Run:
    """Return what the policy would have advised at each round of a recording; `at` counts from the first."""
    policy = dataclasses.replace(policy, mode=Mode.RECOMMEND)
    run = Run()
    state = TunerState()
    snapshots: dict[str, Snapshot] = {}
    start: float | None = None
    for recorded in rounds:
        start = recorded.at if start is None else start
        seen: dict[str, Observation | None] = {}
        for pod, snapshot in recorded.pods.items():
            earlier = snapshots.get(pod)
            if snapshot is None:
                seen[pod] = None
                continue
            snapshots[pod] = snapshot
            if earlier is not None:
                seen[pod] = _observed(earlier, snapshot)
        if not seen:
            continue  # the first scrape of every pod: there is nothing to compare yet
        state, decisions = step(policy, state, seen, recorded.at)
        present = [each for each in seen.values() if each is not None]
        together = aggregation.combine(present) if present else None
        run.rounds.append(
            Round(
                at=recorded.at - start,
                seen=together,
                decisions=decisions,
                settings=state.recommended,
                canary=None,
            )
        )
    run.state = state
    return run


def _observed(earlier: Snapshot, later: Snapshot) -> Observation | None:
    try:
        return observe(earlier, later)
    except CounterReset:
        return None
