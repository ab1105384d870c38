"""What the tuner remembers between two steps: a value, and as plain JSON small enough for a resource's status."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from stablehand_tuner.contracts.settings_file import SettingsFile
from stablehand_tuner.contracts.trial import TrialOn
from stablehand_tuner.lifecycle import stored_phases, version_3, version_4, version_5
from stablehand_tuner.lifecycle.canary import Canary
from stablehand_tuner.lifecycle.history import History
from stablehand_tuner.lifecycle.phases import (
    Applying,
    CanaryApplying,
    CanaryRunning,
    Climbing,
    Phase,
    Watching,
    WorkerTrial,
)
from stablehand_tuner.lifecycle.window import WarmUp
from stablehand_tuner.model.known import Known

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stablehand_tuner.contracts.settings import Settings
    from stablehand_tuner.contracts.trial import Trial

VERSION = 6
STEP_SCRAPE_SECONDS = 1.0
_LONGEST_NOTE = 200


@dataclasses.dataclass(frozen=True)
class TunerState:
    """The tuner's memory of one app.

    Attributes:
        phase: watching, or where in its life the change under way is.
        known: what was learned about the app.
        history: the changes made so far, as far as they decide when the next may begin.
        warm_up: how much was seen of the app since it was first seen; None before that.
        image: what identifies the app's code.
        note: why the stored state could not be read; the next step reports it.
    """

    phase: Phase = dataclasses.field(default_factory=Watching)
    known: Known = dataclasses.field(default_factory=Known)
    history: History = dataclasses.field(default_factory=History)
    warm_up: WarmUp | None = None
    image: str | None = None
    note: str = ""

    @property
    def is_watching(self) -> bool:
        """Whether no change is under way."""
        return isinstance(self.phase, Watching)

    @property
    def desired(self) -> Settings | None:
        """What every server of the app should run from now on; None until the tuner has seen what they run.

        The settings of a canary are not meant: one pod alone runs them.
        """
        return self.phase.desired

    @property
    def canary(self) -> Canary | None:
        """The one pod that should run settings of its own, if one should.

        It is one from the beginning of a canary until that is rolled back, or until it is promoted and every pod runs
        its settings.
        """
        phase = self.phase
        if isinstance(phase, WorkerTrial):
            return Canary(phase.pod, phase.change.before, phase.trial) if phase.own_settings else None
        if isinstance(phase, Climbing) and phase.settling.observed is not None:
            return None  # every pod runs them
        if isinstance(phase, CanaryApplying | CanaryRunning | Applying | Climbing) and phase.pod is not None:
            return Canary(phase.pod, phase.change.target)
        return None

    @property
    def trial(self) -> Trial | None:
        """What a server should try, if it should: on one worker, or as a step of a climb on all.

        `canary` says of which pod, where there may be several. It belongs into that pod's settings file, beside what
        the server goes back to.
        """
        return self.phase.trial if isinstance(self.phase, WorkerTrial | Climbing) else None

    @property
    def file(self) -> SettingsFile | None:
        """What the settings file of the only server should have in it; None until the tuner has seen what that runs.

        While the server guards a step, that is the best step before it, and the step as a trial.
        """
        phase = self.phase
        if isinstance(phase, Climbing) and phase.trial is not None:
            return SettingsFile(phase.climb.best, phase.trial)
        return None if self.desired is None else SettingsFile(self.desired, self.trial)

    @property
    def file_of_all(self) -> SettingsFile | None:
        """What the settings file of every pod should have in it, where one pod may have settings of its own besides.

        While the servers guard a step, that is the best step before it, and the step as a trial.
        """
        file = self.file
        if file is None or file.trial is None or file.trial.on is TrialOn.ALL:
            return file
        return SettingsFile(file.settings)

    @property
    def scrape_within(self) -> float | None:
        """In how many seconds the next scrapes are wanted; None for the usual interval.

        A step of a climb, and a trial on one worker, last seconds, and if they do harm, each of them counts.
        """
        return STEP_SCRAPE_SECONDS if isinstance(self.phase, WorkerTrial | Climbing) else None

    @property
    def recommended(self) -> Settings | None:
        """What the tuner would run: a recommendation that stands, else what is desired."""
        if isinstance(self.phase, Watching) and self.phase.standing is not None and self.phase.standing.settings:
            return self.phase.standing.settings
        return self.desired

    def for_image(self, image: str) -> TunerState:
        """Return the state for an image of the app: another image may behave in another way.

        Call it before each step with whatever identifies the code (the image, better its digest; the app's path). On a
        change the tuner warms up again, and forgets which classes and settings failed. A change under way ends where it
        is: its target is what the pods of the new image run; a canary's settings are given up.
        """
        if image == self.image:
            return self
        if self.image is None:
            return dataclasses.replace(self, image=image)
        return TunerState(
            phase=Watching(self.desired),
            history=History(began_at=self.history.began_at, trial_id=self.history.trial_id),
            image=image,
            note=self.note,
        )

    def not_after(self, now: float, longest_wait: float) -> TunerState:
        """Return the state without moments in the future, as after the clock was set back.

        They would stop the tuner for long. The next change may begin at most `longest_wait` seconds from now.
        """
        phase, warm_up = self.phase, self.warm_up
        if not isinstance(phase, Watching):
            phase = dataclasses.replace(phase, since=min(phase.since, now))
        elif phase.low_demand is not None:
            low_demand = dataclasses.replace(phase.low_demand, since=min(phase.low_demand.since, now))
            phase = dataclasses.replace(phase, low_demand=low_demand)
        if warm_up is not None:
            warm_up = dataclasses.replace(warm_up, since=min(warm_up.since, now))
        known = self.known
        known = dataclasses.replace(known, ceilings=known.ceilings.not_after(now), tries=known.tries.not_after(now))
        history = self.history.not_after(now, longest_wait)
        return dataclasses.replace(self, phase=phase, known=known, warm_up=warm_up, history=history)

    def to_mapping(self) -> dict[str, Any]:
        """Return the state as plain JSON."""
        return {
            "version": VERSION,
            "phase": stored_phases.to_mapping(self.phase),
            "known": self.known.to_mapping(),
            "history": self.history.to_mapping(),
            "warmUp": None if self.warm_up is None else self.warm_up.to_mapping(),
            "image": self.image,
            "note": self.note,
        }

    @classmethod
    def from_mapping(cls, fields: Mapping[str, Any] | None) -> TunerState:
        """Read what `to_mapping` wrote; None, or an empty object, is the state of an app never seen before.

        A corrupt state, or one of an unknown version, does not raise: the tuner starts afresh, and its next step
        reports it.
        """
        if not fields:
            return cls()
        try:
            return cls._read(fields)
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
            return cls(note=f"{type(error).__name__}: {error}"[:_LONGEST_NOTE])

    @classmethod
    def _read(cls, fields: Mapping[str, Any]) -> TunerState:
        for earlier in (version_3, version_4, version_5):
            if fields["version"] == earlier.VERSION:
                fields = earlier.converted(fields)
        if fields["version"] != VERSION:
            raise ValueError(f"version {fields['version']!r} is neither {VERSION} nor one of the three before")
        return cls(
            phase=stored_phases.from_mapping(fields["phase"]),
            known=Known.from_mapping(fields["known"]),
            history=History.from_mapping(fields["history"]),
            warm_up=None if fields["warmUp"] is None else WarmUp.from_mapping(fields["warmUp"]),
            image=None if fields["image"] is None else str(fields["image"]),
            note=str(fields["note"]),
        )
