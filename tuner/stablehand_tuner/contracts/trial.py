"""A trial: what one worker, or all, run for a time, and the guard that ends it without anyone's help.

A change that can break an app is not given to all workers at once. The server enforces the guard by itself, so that
nobody's death and no cut network leaves an app on settings that harm it.
"""

from __future__ import annotations

import dataclasses
import enum
from typing import TYPE_CHECKING, Any

from stablehand_tuner.contracts.numbers import is_number, is_whole
from stablehand_tuner.contracts.settings import InvalidSettings, Range, Settings, WorkerClass

if TYPE_CHECKING:
    from collections.abc import Mapping

IDS = Range(1, 2**53 - 1)  # what a number of JSON, and the value of a metric, hold exactly
SECONDS = (1.0, 3600.0)
FAILED_SHARES = (0.001, 1.0)
LATE_SECONDS = (0.05, 60.0)
UNSERVED_SECONDS = (0.5, 600.0)

# attribute, name in JSON, lowest and highest value
_LIMITS = (
    ("failed_share", "failedShare", FAILED_SHARES),
    ("late_seconds", "lateSeconds", LATE_SECONDS),
    ("unserved_seconds", "unservedSeconds", UNSERVED_SECONDS),
)
GUARD_FIELDS = tuple(name for _, name, _ in _LIMITS)
TRIAL_FIELDS = ("id", "on", "workerClass", "threads", "workerConnections", "seconds", "guard")


class TrialOn(str, enum.Enum):
    """Who runs what is on trial: one worker beside its siblings, or all workers."""

    WORKER = "worker"
    ALL = "all"

    def __str__(self) -> str:
        """Return the name in the contract."""
        return self.value


@dataclasses.dataclass(frozen=True)
class Guard:
    """What ends a trial before its time.

    Attributes:
        failed_share: by how much the share of failed requests (5xx, or no response) may exceed that of the siblings at
            the same moment. A difference that chance explains ends nothing.
        late_seconds: by how much the event loop's timer may be late, beyond the latest one of the siblings.
        unserved_seconds: for how long no request may finish while some are inside the app, and the siblings serve.

    Raises:
        InvalidSettings: when one of them is no number, or out of its range.
    """

    failed_share: float
    late_seconds: float
    unserved_seconds: float

    def __post_init__(self) -> None:
        """Validate every field."""
        for attribute, name, limits in _LIMITS:
            object.__setattr__(self, attribute, _number_within(f"trial.guard.{name}", getattr(self, attribute), limits))

    def to_mapping(self) -> dict[str, float]:
        """Return the guard as the JSON object of the contract."""
        return {name: getattr(self, attribute) for attribute, name, _ in _LIMITS}

    @classmethod
    def from_mapping(cls, fields: Any) -> Guard:
        """Read the JSON object of the contract: all of its fields, and no other.

        Raises:
            InvalidSettings: naming the first fault found.
        """
        read = _object("trial.guard", fields, GUARD_FIELDS)
        return cls(**{attribute: read[name] for attribute, name, _ in _LIMITS})


@dataclasses.dataclass(frozen=True)
class Trial:
    """What runs for a time instead of a file's settings, which are what the server goes back to.

    Attributes:
        id: grows from one trial of a server to the next; one that is not larger than the last is not run.
        seconds: how long the trial lasts at most, from the moment at which its workers are ready.
        on: who runs it. A trial on all workers is compared with what the server served before.
        workers: how many there are in a trial on all workers; 1 in one on a worker.

    Raises:
        InvalidSettings: when a field is out of its range, or the class cannot make use of it.
    """

    id: int
    worker_class: WorkerClass
    threads: int
    worker_connections: int
    seconds: float
    guard: Guard
    on: TrialOn = TrialOn.WORKER
    workers: int = 1

    def __post_init__(self) -> None:
        """Validate every field."""
        if not is_whole(self.id):
            raise InvalidSettings(f"trial.id must be a whole number, not {self.id!r}")
        if self.id not in IDS:
            raise InvalidSettings(f"trial.id is {self.id}, but must be {IDS}")
        object.__setattr__(self, "seconds", _number_within("trial.seconds", self.seconds, SECONDS))
        object.__setattr__(self, "on", _known_on(self.on))
        if self.on is TrialOn.WORKER and self.workers != 1:
            raise InvalidSettings(f"trial: workers is {self.workers}, but the trial is on one worker")
        try:
            settings = self.settings(self.workers)
        except InvalidSettings as fault:
            raise InvalidSettings(f"trial: {fault}") from fault
        object.__setattr__(self, "worker_class", settings.worker_class)

    def settings(self, workers: int) -> Settings:
        """Return what a server of so many workers would run if all of them ran what is on trial."""
        return Settings(self.worker_class, workers, self.threads, self.worker_connections)

    def to_mapping(self) -> dict[str, Any]:
        """Return the trial as the JSON object of the contract."""
        workers = {"workers": self.workers} if self.on is TrialOn.ALL else {}
        return {
            "id": self.id,
            "on": self.on.value,
            "workerClass": self.worker_class.value,
            **workers,
            "threads": self.threads,
            "workerConnections": self.worker_connections,
            "seconds": self.seconds,
            "guard": self.guard.to_mapping(),
        }

    @classmethod
    def from_mapping(cls, fields: Any) -> Trial:
        """Read the JSON object of the contract: all of its fields, and no other; `workers` if it is on all workers.

        Raises:
            InvalidSettings: naming the first fault found.
        """
        on_all = isinstance(fields, dict) and fields.get("on") == TrialOn.ALL.value
        read = _object("trial", fields, (*TRIAL_FIELDS, "workers") if on_all else TRIAL_FIELDS)
        return cls(
            on=read["on"],
            workers=read["workers"] if on_all else 1,
            id=read["id"],
            worker_class=read["workerClass"],
            threads=read["threads"],
            worker_connections=read["workerConnections"],
            seconds=read["seconds"],
            guard=Guard.from_mapping(read["guard"]),
        )


def _known_on(value: object) -> TrialOn:
    try:
        return TrialOn(value)
    except ValueError:
        raise InvalidSettings(f"trial.on is {value!r}, but must be one of {', '.join(TrialOn)}") from None


def _object(name: str, fields: Any, known: tuple[str, ...]) -> Mapping[str, Any]:
    if not isinstance(fields, dict):
        raise InvalidSettings(f"{name} must be a JSON object, not {type(fields).__name__}")
    unknown = sorted(set(fields).difference(known))
    if unknown:
        raise InvalidSettings(f"unknown field {unknown[0]!r} of {name}; known are {', '.join(known)}")
    missing = [each for each in known if each not in fields]
    if missing:
        raise InvalidSettings(f"{', '.join(missing)} of {name} missing; all of {', '.join(known)} are needed")
    return fields


def _number_within(name: str, value: Any, limits: tuple[float, float]) -> float:
    if not is_number(value):
        raise InvalidSettings(f"{name} must be a number, not {value!r}")
    lowest, highest = limits
    if not lowest <= value <= highest:
        raise InvalidSettings(f"{name} is {value}, but must be {lowest:g} to {highest:g}")
    return float(value)
