"""The phases that an app can be in: watching it, or one step in the life of a change.

    watching → (worker trial →) (canary applying → canary running →) applying → trial → watching, the change kept
                                                                    ↘ climbing ↗     ↘ rolling back (→ recheck)

What may break an app runs in one worker first. A change to more than twice the slots climbs there by steps. A change
can be rolled back from any phase before it is kept. There is never more than one change.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, TypeAlias

from stablehand_tuner.lifecycle.window import Window

if TYPE_CHECKING:
    from stablehand_tuner.contracts import trial as contract
    from stablehand_tuner.contracts.settings import Settings
    from stablehand_tuner.decision import Decision
    from stablehand_tuner.evidence.comparison import Comparison
    from stablehand_tuner.lifecycle.climb import Climb
    from stablehand_tuner.lifecycle.doubt import Doubt
    from stablehand_tuner.observe.observation import Observation


@dataclasses.dataclass(frozen=True)
class LowDemand:
    """Since when fewer slots or processes would do, and the most that demand has called for since then."""

    since: float
    slots: int
    workers: int = 0


@dataclasses.dataclass(frozen=True)
class Change:
    """A change of settings, and the decision that began it or carries it on.

    The decision is made again, the same, at each step until every server concerned runs the target.

    Raises:
        ValueError: when the decision is for other settings.
    """

    before: Settings
    target: Settings
    decision: Decision

    def __post_init__(self) -> None:
        """Refuse a decision that does not lead to the target."""
        _require_decision_for(self.target, self.decision)


@dataclasses.dataclass(frozen=True)
class Watching:
    """No change is under way.

    Attributes:
        settings: what every pod should run; None until the tuner has seen what they run.
        window: what was observed since the last decision of a full window.
        standing: that decision: it stands until the next window is full.
        low_demand: set while fewer slots would do.
    """

    settings: Settings | None = None
    window: Window = dataclasses.field(default_factory=Window)
    standing: Decision | None = None
    low_demand: LowDemand | None = None

    @property
    def desired(self) -> Settings | None:
        """What every pod should run; None until the tuner has seen what they run."""
        return self.settings


@dataclasses.dataclass(frozen=True)
class WorkerTrial:
    """One worker of one pod runs the change's settings beside siblings that go on as before.

    Attributes:
        since: when the phase began.
        change: the change that follows, on a canary or everywhere, if the worker does no harm.
        pod: whose worker it is.
        baseline: the window that led to the change.
        trial: what the server is asked for.
        own_settings: whether the caller gives that pod settings of its own.
        comparison: the worker beside its siblings.
        window: what the worker did.
        aim: the decision for what all pods climb to afterwards, if the change is only the first step there.
        canary: the pod that tries the change next, before all pods get it; None if they all do.
    """

    since: float
    change: Change
    pod: str
    baseline: Observation
    trial: contract.Trial
    own_settings: bool
    comparison: Comparison
    window: Window = dataclasses.field(default_factory=Window)
    aim: Decision | None = None
    canary: str | None = None

    @property
    def desired(self) -> Settings:
        """What every worker but that one should run."""
        return self.change.before


@dataclasses.dataclass(frozen=True)
class CanaryApplying:
    """One pod is to run the change's settings, and does not yet.

    `since` is when the phase began, here and in all other phases of a change; `baseline` is the window that led to the
    change. `aim` is the decision for what all pods climb to afterwards, if the change is only the first step there.
    """

    since: float
    change: Change
    pod: str
    baseline: Observation
    aim: Decision | None = None

    @property
    def desired(self) -> Settings:
        """What every pod but the canary should run."""
        return self.change.before


@dataclasses.dataclass(frozen=True)
class CanaryRunning:
    """One pod runs the change's settings and is compared with its siblings; the window is of that pod alone."""

    since: float
    change: Change
    pod: str
    baseline: Observation
    comparison: Comparison
    window: Window = dataclasses.field(default_factory=Window)
    aim: Decision | None = None

    @property
    def desired(self) -> Settings:
        """What every pod but the canary should run."""
        return self.change.before


@dataclasses.dataclass(frozen=True)
class Applying:
    """Every server is to run the change's settings, and not all do yet.

    Attributes:
        since: when the phase began.
        change: the change.
        baseline: what its trial is compared with; None if it is kept without a trial.
        pod: the canary that was promoted: it keeps its own settings until all others run the same.
        is_second_try: whether the change was tried before and rolled back by mistake: its next trial is final.
    """

    since: float
    change: Change
    baseline: Observation | None = None
    pod: str | None = None
    is_second_try: bool = False

    def __post_init__(self) -> None:
        """Refuse what no earlier phase leads to."""
        if self.baseline is None and (self.pod is not None or self.is_second_try):
            raise ValueError("a change that was tried before has a baseline")
        if self.pod is not None and self.is_second_try:
            raise ValueError("a change is not tried a second time after a canary")

    @property
    def desired(self) -> Settings:
        """What every server should run."""
        return self.change.target


@dataclasses.dataclass(frozen=True)
class Climbing:
    """The slots grow by steps: every server is to run the step that is the change's target.

    Attributes:
        since: when the step began.
        change: from what ran before the climb to the step; its decision is the step's.
        baseline: what led to the climb.
        climb: the steps so far, and where they lead.
        ran: what every server ran when the step began: the step before it, whether that was good or not.
        settling: what was observed while requests that began before the step may still have been in the app.
        window: what was observed after that.
        pod: the canary that tried the first step: it keeps its own settings until all others run the same.
        trial: what the server is asked for, where it guards the step by itself; else None.
    """

    since: float
    change: Change
    baseline: Observation
    climb: Climb
    ran: Settings
    settling: Window = dataclasses.field(default_factory=Window)
    window: Window = dataclasses.field(default_factory=Window)
    pod: str | None = None
    trial: contract.Trial | None = None

    @property
    def desired(self) -> Settings:
        """What every server should run."""
        return self.change.target


@dataclasses.dataclass(frozen=True)
class Trial:
    """Every server runs the change's settings; what they do is compared with the baseline."""

    since: float
    change: Change
    baseline: Observation
    window: Window = dataclasses.field(default_factory=Window)
    is_second_try: bool = False

    @property
    def desired(self) -> Settings:
        """What every server should run."""
        return self.change.target


@dataclasses.dataclass(frozen=True)
class RollingBack:
    """Every server is to run `settings` again, as before a change; with a doubt, they are rechecked then.

    `decision` is the one to roll back; it is made again at each step until every server does.
    """

    since: float
    settings: Settings
    decision: Decision
    doubt: Doubt | None = None

    def __post_init__(self) -> None:
        """Refuse a decision that does not lead to the settings."""
        _require_decision_for(self.settings, self.decision)

    @property
    def desired(self) -> Settings:
        """What every server should run."""
        return self.settings


@dataclasses.dataclass(frozen=True)
class Recheck:
    """Every server runs `settings` again, as before a change, to see whether they do better than the change did."""

    since: float
    settings: Settings
    decision: Decision
    doubt: Doubt
    window: Window = dataclasses.field(default_factory=Window)

    def __post_init__(self) -> None:
        """Refuse a decision that does not lead to the settings."""
        _require_decision_for(self.settings, self.decision)

    @property
    def desired(self) -> Settings:
        """What every server should run."""
        return self.settings


Attempt: TypeAlias = WorkerTrial | CanaryApplying | CanaryRunning | Applying | Climbing | Trial
"""The phases of a change that can be rolled back."""

Phase: TypeAlias = Watching | Attempt | RollingBack | Recheck


def _require_decision_for(settings: Settings, decision: Decision) -> None:
    if decision.settings != settings:
        raise ValueError(f"a change to {settings} cannot follow from a decision for {decision.settings}")
