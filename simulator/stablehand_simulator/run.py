"""Tunes simulated pods as the operator would: scrape, observe, step, carry out the decisions."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from stablehand_simulator.fluid_server import FluidServer
from stablehand_tuner.contracts.settings_file import SettingsFile
from stablehand_tuner.controller import step
from stablehand_tuner.lifecycle.phases import Applying, CanaryApplying, Climbing, WorkerTrial
from stablehand_tuner.lifecycle.state import TunerState
from stablehand_tuner.observe import aggregation
from stablehand_tuner.observe.observation import CounterReset, observe
from stablehand_tuner.observe.trial_seen import observe_trial
from stablehand_tuner.policy import Mode

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from stablehand_simulator import workload as workloads
    from stablehand_simulator.cluster import Cluster
    from stablehand_simulator.fluid import FluidCluster
    from stablehand_simulator.server import Server
    from stablehand_simulator.workload import Workload
    from stablehand_tuner.contracts.settings import Settings
    from stablehand_tuner.decision import Decision
    from stablehand_tuner.observe.observation import Observation
    from stablehand_tuner.observe.snapshot import Snapshot

INTERVAL_SECONDS = 5.0
"""Seconds between two rounds of scrapes, as in the operator."""

EPOCH = 1_700_000_000.0
"""The Unix time at which simulated runs begin: the tuner's clock is never near zero."""


@dataclasses.dataclass(frozen=True)
class Round:
    """One round of scrapes: when, what was seen of all pods together, what was decided, and what should run.

    `began` are the settings of a change that begins with this round, `on_trial` those that one worker alone tries.
    """

    at: float
    seen: Observation | None
    decisions: tuple[Decision, ...]
    settings: Settings | None
    canary: Settings | None
    began: Settings | None = None
    on_trial: Settings | None = None


@dataclasses.dataclass
class Run:
    """What happened in a run."""

    rounds: list[Round] = dataclasses.field(default_factory=list)
    state: TunerState = dataclasses.field(default_factory=TunerState)
    peak_memory_bytes: float = 0.0
    oom_exits: int = 0

    @property
    def changes(self) -> list[tuple[float, Settings]]:
        """The changes that were begun, with their times, including those that were rolled back."""
        return [(each.at, each.began) for each in self.rounds if each.began is not None]

    @property
    def settings(self) -> Settings | None:
        """What all pods should run at the end."""
        return self.rounds[-1].settings if self.rounds else None

    @property
    def settled_at(self) -> float:
        """When the settings of a pod were last changed; 0 if they never were."""
        pairs = zip(self.rounds, self.rounds[1:], strict=False)
        moved = [
            later.at
            for earlier, later in pairs
            if earlier.settings is not None and (earlier.settings, earlier.canary) != (later.settings, later.canary)
        ]
        return moved[-1] if moved else 0.0


def tune(
    workload: Workload,
    seconds: float,
    *,
    interval: float = INTERVAL_SECONDS,
    exact: bool = False,
    canaries: bool = True,
    watch: Callable[[Round], None] = lambda _round: None,
) -> Run:
    """Run a workload under its policy.

    Args:
        workload: what to run.
        seconds: for how long.
        interval: seconds between two rounds of scrapes, unless the tuner asks for the next one sooner.
        exact: whether every request is simulated; otherwise by formulas.
        canaries: whether one pod can have settings of its own, as with the operator. Without, there is one pod, whose
            server is tuned as by `--autotune`: it guards steps by itself.
        watch: called with each round.
    """
    cluster: Cluster | FluidCluster = workload.cluster() if exact else workload.fluid()
    run = Run()
    load_phases = sorted(workload.phases, key=lambda each: each.at)
    snapshots: Sequence[Snapshot] = [server.snapshot() for server in cluster.servers]
    while cluster.now < seconds:
        until = cluster.now + (run.state.scrape_within or interval)
        while load_phases and load_phases[0].at <= until:
            load_phase = load_phases.pop(0)
            cluster.run_until(load_phase.at)
            _enter(cluster, load_phase)
        cluster.run_until(until)
        later = [server.snapshot() for server in cluster.servers]
        pairs = {f"pod-{place}": pair for place, pair in enumerate(zip(snapshots, later, strict=True))}
        seen = {pod: _observed(*pair) for pod, pair in pairs.items()}
        reports = {pod: observe_trial(*pair) for pod, pair in pairs.items()}
        trials = {pod: each for pod, each in reports.items() if each is not None}
        snapshots = later
        was_watching = run.state.is_watching
        run.state, decisions = step(workload.policy, run.state, seen, EPOCH + until, canaries=canaries, trials=trials)
        if workload.policy.mode is Mode.AUTO:
            _carry_out(cluster, run.state)
        canary = run.state.canary
        present = [each for each in seen.values() if each is not None]
        this = Round(
            at=until,
            seen=aggregation.combine(present) if present else None,
            decisions=decisions,
            settings=run.state.desired,
            canary=None if canary is None or canary.trial is not None else canary.settings,
            began=_began(run.state) if was_watching else None,
            on_trial=None if run.state.trial is None else run.state.trial.settings(1),
        )
        run.rounds.append(this)
        watch(this)
    run.peak_memory_bytes = max(server.peak_memory_bytes for server in cluster.servers)
    run.oom_exits = sum(server.counts.oom_exits for server in cluster.servers)
    return run


def _began(state: TunerState) -> Settings | None:
    """Return the settings of the change that is under way at the end of the round that it began in."""
    phase = state.phase
    return phase.change.target if isinstance(phase, WorkerTrial | CanaryApplying | Applying | Climbing) else None


def _enter(cluster: Cluster | FluidCluster, phase: workloads.LoadPhase) -> None:
    if phase.app is not None:
        cluster.set_app(phase.app)
    if phase.clients is not None:
        cluster.set_clients(phase.clients)
    if phase.rate is not None:
        cluster.set_rate(phase.rate)


def _observed(earlier: Snapshot, later: Snapshot) -> Observation | None:
    try:
        return observe(earlier, later)
    except CounterReset:
        return None


def _carry_out(cluster: Cluster | FluidCluster, state: TunerState) -> None:
    servers: Sequence[Server | FluidServer] = cluster.servers
    for place, server in enumerate(servers):
        file = state.file
        if state.canary is not None:
            own = state.canary.pod == f"pod-{place}"
            file = state.canary.file if own else None if state.desired is None else SettingsFile(state.desired)
        if file is None:
            continue
        if isinstance(server, FluidServer):
            server.write(file)
        else:
            server.apply(file.settings)
