"""What the tuner's tests share: an observation with any numbers, an exposition, a bench that tunes simulated pods."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import TYPE_CHECKING, Any

import pytest

from stablehand_simulator import App, Pod
from stablehand_tuner.contracts.settings import Settings, WorkerClass
from stablehand_tuner.controller import TunerState, step
from stablehand_tuner.observe.observation import CounterReset, Observation, observe
from stablehand_tuner.policy import Policy
from stablehand_tuner.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from stablehand_tuner.decision import Decision
    from stablehand_tuner.observe.snapshot import Snapshot

SYNC_1 = Settings(WorkerClass.SYNC, 1)
ALL_CLASSES = frozenset({"sync", "gthread", "gevent"})


def observation(**changes: Any) -> Observation:
    """Return 15 s of a waiting app under sync × 1: 10 requests/s of 100 ms, 1.5 ms of them computing, 63 waiting."""
    settings = changes.pop("settings", SYNC_1)
    fields: dict[str, Any] = {
        "seconds": 15.0,
        "pods": 1.0,
        "requests": 150.0,
        "errors": 0.0,
        "busy_seconds_total": 15.0,
        "cpu_seconds_total": 0.225,
        "run_delay_seconds_total": 0.0,
        "queued_seconds_total": 0.0,
        "throttled_seconds_total": 0.0,
        "duration_buckets": ((0.1, 0.0), (0.25, 150.0), (0.5, 150.0), (math.inf, 150.0)),
        "busy_slots": 1.0,
        "slots": float(settings.slots),
        "backlog": 63.0,
        "connections": 1.0,
        "workers_ready": float(settings.workers),
        "cores": 2.0,
        "peak_demand": 64.0,
        "busiest_worker_cores": 0.015,
        "worker_memory_bytes": 50e6,
        "worker_memory_bytes_mean": 50e6,
        "memory_limit_bytes": 1e9,
        "lag_seconds": 0.0,
        "lag_seconds_mean": 0.0,
        "settings_desired": settings,
        "settings_active": settings,
        "steady": True,
        "generation": 1,
        "switches_rejected": 0.0,
        "switches_rolled_back": 0.0,
        "oom_exits": 0.0,
        "available_classes": ALL_CLASSES,
        "blocking_modules": frozenset(),
    }
    return Observation(**{**fields, **changes})


@pytest.fixture
def make_observation() -> Callable[..., Observation]:
    return observation


@pytest.fixture
def samples() -> list[tuple[str, dict[str, str], float]]:
    """The exposition of a pod that has served for ten seconds."""
    pod = Pod(App(compute=0.001, wait=0.05), Settings(WorkerClass.GTHREAD, 2, 4), clients=8)
    pod.run_until(10.0)
    return [(name, dict(labels), value) for name, labels, value in pod.samples()]


@dataclasses.dataclass
class Bench:
    """Tunes simulated pods as a shell would: scrape, observe, step, store the state, carry the decision out."""

    pods: list[Pod]
    policy: Policy = dataclasses.field(default_factory=Policy)
    state: TunerState = dataclasses.field(default_factory=TunerState)
    canaries: bool = False
    interval: float = 5.0
    now: float = 0.0
    decisions: list[tuple[float, Decision]] = dataclasses.field(default_factory=list)
    last: list[Observation | None] = dataclasses.field(default_factory=list)
    _snapshots: list[Snapshot] = dataclasses.field(default_factory=list)

    def run(self, seconds: float, *, missing: Iterable[int] = ()) -> Bench:
        """Run for so long; the pods whose place is in `missing` are not scraped."""
        until = self.now + seconds
        if not self._snapshots:
            self._snapshots = [pod.snapshot() for pod in self.pods]
        while self.now < until:
            self.now += min(self.interval, self.state.scrape_within or self.interval)
            self.last = [None if place in set(missing) else self._observe(place) for place in range(len(self.pods))]
            # the state passes through its stored form each time, as if the operator were restarted at every step
            state = TunerState.from_mapping(json.loads(json.dumps(self.state.to_mapping())))
            by_name = {f"pod-{place}": each for place, each in enumerate(self.last)}
            self.state, decisions = step(self.policy, state, by_name, 1e9 + self.now, canaries=self.canaries)
            for decision in decisions:
                self.decisions.append((self.now, decision))
                if decision.changes_settings and decision.settings is not None:
                    for pod in self.pods:
                        pod.apply(decision.settings)
            if self.canaries:
                self._place_canary()
        return self

    def _place_canary(self) -> None:
        """Give the canary its own settings, and all other pods what every pod should run."""
        canary = self.state.canary
        for place, pod in enumerate(self.pods):
            own = canary is not None and canary.pod == f"pod-{place}"
            settings = canary.settings if canary is not None and own else self.state.desired
            if settings is not None:
                pod.apply(settings)

    def _observe(self, place: int) -> Observation | None:
        pod = self.pods[place]
        pod.run_until(self.now)
        earlier, later = self._snapshots[place], pod.snapshot()
        self._snapshots[place] = later
        try:
            return observe(earlier, later)
        except CounterReset:
            return None

    @property
    def changes(self) -> list[Settings]:
        """The settings that were applied or gone back to, each change once; of a climb the last step alone."""
        changes: list[Settings] = []
        for _, decision in self.decisions:
            if not decision.changes_settings or decision.settings == (changes[-1] if changes else None):
                continue
            if decision.reason in {Reason.NEXT_STEP, Reason.STEP_BACK}:
                changes.pop()
            changes.append(decision.settings)
        return changes

    @property
    def steps(self) -> list[tuple[float, Settings]]:
        """All settings that were applied, steps of climbs among them, and when."""
        steps: list[tuple[float, Settings]] = []
        for at, decision in self.decisions:
            if decision.changes_settings and decision.settings != (steps[-1][1] if steps else None):
                steps.append((at, decision.settings))
        return steps

    @property
    def reasons(self) -> list[str]:
        """The reasons of all decisions but holds and steps of a climb, in order, repetitions left out."""
        left_out = {Reason.NEXT_STEP, Reason.STEP_BACK}
        decisions = [each for _, each in self.decisions if each.action.value != "hold"]
        reasons = [str(each.reason) for each in decisions if each.reason not in left_out]
        return [each for place, each in enumerate(reasons) if place == 0 or reasons[place - 1] != each]

    @property
    def settings(self) -> Settings:
        """What the first pod runs."""
        return self.pods[0].active

    @property
    def requests_per_second(self) -> float:
        """What the last scrapes show together."""
        return sum(each.requests_per_second for each in self.last if each is not None)


@pytest.fixture(scope="session")
def bench() -> Callable[..., Bench]:
    """Return a function that sets up one simulated app; `policy` is the JSON of the resource."""

    def set_up(
        app: App,
        settings: Settings,
        *,
        pods: int = 1,
        policy: dict[str, Any] | None = None,
        seed: int = 1,
        canaries: bool = False,
        **load: Any,
    ) -> Bench:
        return Bench(
            [Pod(app, settings, seed=seed + number, **load) for number in range(pods)],
            Policy.from_mapping(policy or {}),
            canaries=canaries,
        )

    return set_up
