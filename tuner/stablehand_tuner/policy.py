"""What the user allows the tuner to do: `spec.tuning` of a `WSGIApp`, or the file of `--autotune`.

An empty object is a valid policy: everything has a default that suits most apps.
"""

from __future__ import annotations

import dataclasses
import enum
from typing import TYPE_CHECKING, Any, TypeVar

from stablehand_tuner.contracts import settings as contract
from stablehand_tuner.contracts.numbers import is_number, is_whole
from stablehand_tuner.contracts.settings import Range, Settings, WorkerClass

if TYPE_CHECKING:
    from collections.abc import Mapping


class InvalidPolicy(ValueError):  # noqa: N818 (a reader meets it in a sentence: "invalid policy: ...")
    """An invalid policy; the message is one sentence that names the field at fault."""


class Mode(str, enum.Enum):
    """How far the tuner may go."""

    OFF = "Off"
    RECOMMEND = "Recommend"
    AUTO = "Auto"

    def __str__(self) -> str:
        """Return the name as the resource writes it."""
        return self.value


class Objective(str, enum.Enum):
    """Which of the settings that serve the demand are the best."""

    LATENCY = "latency"
    THROUGHPUT = "throughput"
    COST = "cost"

    def __str__(self) -> str:
        """Return the name as the resource writes it."""
        return self.value


TUNABLE_CLASSES = (WorkerClass.SYNC, WorkerClass.GTHREAD, WorkerClass.GEVENT, WorkerClass.ASGI)
DEFAULT_THREADS = Range(1, 64)
DEFAULT_WORKER_CONNECTIONS = Range(10, 1000)
CHANGES_PER_HOUR = Range(1, 1000)
MOST_PROCESSES = 64  # what the computed upper bound of workers never exceeds


@dataclasses.dataclass(frozen=True)
class Windows:
    """How long the tuner observes before it acts; seconds, except the numbers of requests and connections.

    A canary is compared for `trial_seconds` at least and `canary_seconds` at most.
    """

    warm_up_seconds: float = 20.0
    warm_up_requests: float = 100.0
    decision_seconds: float = 15.0
    minimum_requests: float = 100.0
    trial_seconds: float = 20.0
    canary_seconds: float = 120.0
    cool_down_seconds: float = 30.0
    apply_seconds: float = 120.0
    shrink_seconds: float = 600.0
    backlog_alarm: float = 32.0


@dataclasses.dataclass(frozen=True)
class Policy:
    """The mode, the objective, the bounds, the allowed classes and the windows.

    `changes_per_hour` is how many changes may begin within any hour, except those for memory or broken bounds. While
    `frozen`, no change begins, a canary is withdrawn, and any other change under way ends where it is; the operator
    sets it while the resource has the annotation `stablehand.dev/freeze`.

    `workers_highest` is None where the user sets no upper bound: then it is computed from cores and memory, and never
    exceeds 64.
    """

    mode: Mode = Mode.AUTO
    objective: Objective = Objective.THROUGHPUT
    workers_lowest: int = 1
    workers_highest: int | None = None
    threads: Range = DEFAULT_THREADS
    worker_connections: Range = DEFAULT_WORKER_CONNECTIONS
    worker_classes: tuple[WorkerClass, ...] = TUNABLE_CLASSES
    changes_per_hour: int = 20
    frozen: bool = False
    windows: Windows = dataclasses.field(default_factory=Windows)

    def workers_within(self, computed_highest: int) -> Range:
        """Return the bounds of workers; `computed_highest` counts only where the user set no upper bound."""
        highest = self.workers_highest
        if highest is None:
            highest = max(self.workers_lowest, min(MOST_PROCESSES, computed_highest))
        return Range(self.workers_lowest, highest)

    def allows(self, settings: Settings) -> bool:
        """Tell whether the settings are within the bounds and the classes that the user set.

        Threads count only for gthread, connections only for event loops: a setting that a class does not use breaks no
        bound.
        """
        if settings.worker_class not in self.worker_classes or settings.workers < self.workers_lowest:
            return False
        if self.workers_highest is not None and settings.workers > self.workers_highest:
            return False
        if settings.worker_class is WorkerClass.GTHREAD:
            return settings.threads in self.threads
        counts_connections = settings.worker_class in {WorkerClass.GEVENT, WorkerClass.ASGI}
        return not counts_connections or settings.worker_connections in self.worker_connections

    def to_mapping(self) -> dict[str, Any]:
        """Return the policy as the JSON object of the resource, every default written out."""
        workers = {"min": self.workers_lowest}
        if self.workers_highest is not None:
            workers["max"] = self.workers_highest
        return {
            "mode": self.mode.value,
            "objective": self.objective.value,
            "workers": workers,
            "threads": {"min": self.threads.lowest, "max": self.threads.highest},
            "workerConnections": {"min": self.worker_connections.lowest, "max": self.worker_connections.highest},
            "workerClasses": [each.value for each in self.worker_classes],
            "changesPerHour": self.changes_per_hour,
            "freeze": self.frozen,
            "windows": {name: getattr(self.windows, attribute) for attribute, name in _WINDOW_NAMES.items()},
        }

    @classmethod
    def from_mapping(cls, fields: Mapping[str, Any]) -> Policy:
        """Read the JSON object of the resource; what is absent takes its default.

        Raises:
            InvalidPolicy: on an unknown field, an impossible number, or bounds that contradict each other.
        """
        _refuse_unknown(fields, _FIELDS, "")
        lowest, highest = _bounds(fields, "workers", contract.WORKERS)
        policy = cls(
            mode=_one_of(Mode, fields, "mode", Mode.AUTO),
            objective=_one_of(Objective, fields, "objective", Objective.THROUGHPUT),
            workers_lowest=1 if lowest is None else lowest,
            workers_highest=highest,
            threads=_range(fields, "threads", contract.THREADS, DEFAULT_THREADS),
            worker_connections=_range(
                fields, "workerConnections", contract.WORKER_CONNECTIONS, DEFAULT_WORKER_CONNECTIONS
            ),
            worker_classes=_classes(fields.get("workerClasses")),
            changes_per_hour=_budget(fields.get("changesPerHour", 20)),
            frozen=_flag(fields, "freeze"),
            windows=_windows(fields.get("windows")),
        )
        if policy.worker_classes == (WorkerClass.SYNC,) and policy.threads.lowest > 1:
            raise InvalidPolicy(
                f"threads.min is {policy.threads.lowest}, but workerClasses allows only sync, which has one thread"
            )
        return policy


_FIELDS = (
    "mode",
    "objective",
    "workers",
    "threads",
    "workerConnections",
    "workerClasses",
    "changesPerHour",
    "freeze",
    "windows",
)
_WINDOW_NAMES = {
    "warm_up_seconds": "warmUpSeconds",
    "warm_up_requests": "warmUpRequests",
    "decision_seconds": "decisionSeconds",
    "minimum_requests": "minimumRequests",
    "trial_seconds": "trialSeconds",
    "canary_seconds": "canarySeconds",
    "cool_down_seconds": "coolDownSeconds",
    "apply_seconds": "applySeconds",
    "shrink_seconds": "shrinkSeconds",
    "backlog_alarm": "backlogAlarm",
}
_Choice = TypeVar("_Choice", Mode, Objective)
_MAY_BE_ZERO = frozenset({"warm_up_seconds", "warm_up_requests", "cool_down_seconds"})
_LONGEST = 1_000_000.0


def _refuse_unknown(fields: Mapping[str, Any], known: tuple[str, ...], parent: str) -> None:
    for name in fields:
        if name not in known:
            raise InvalidPolicy(f"unknown field {parent + str(name)!r}; known are {', '.join(known)}")


def _object(value: Any, name: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise InvalidPolicy(f"{name} must be an object, not {value!r}")
    return value


def _one_of(kind: type[_Choice], fields: Mapping[str, Any], name: str, default: _Choice) -> _Choice:
    value = fields.get(name, default.value)
    try:
        return kind(value)
    except ValueError:
        known = ", ".join(each.value for each in kind)
        raise InvalidPolicy(f"{name} is {value!r}; known are {known}") from None


def _flag(fields: Mapping[str, Any], name: str) -> bool:
    value = fields.get(name, False)
    if not isinstance(value, bool):
        raise InvalidPolicy(f"{name} must be true or false, not {value!r}")
    return value


def _budget(value: Any) -> int:
    if not is_whole(value):
        raise InvalidPolicy(f"changesPerHour must be a whole number, not {value!r}")
    if value not in CHANGES_PER_HOUR:
        raise InvalidPolicy(f"changesPerHour is {value}, but must be {CHANGES_PER_HOUR}")
    return value


def _bounds(fields: Mapping[str, Any], name: str, possible: Range) -> tuple[int | None, int | None]:
    bounds = _object(fields.get(name, {}), name)
    _refuse_unknown(bounds, ("min", "max"), f"{name}.")
    for end, value in bounds.items():
        if not is_whole(value):
            raise InvalidPolicy(f"{name}.{end} must be a whole number, not {value!r}")
        if value not in possible:
            raise InvalidPolicy(f"{name}.{end} is {value}, but must be {possible}")
    lowest, highest = bounds.get("min"), bounds.get("max")
    if lowest is not None and highest is not None and lowest > highest:
        raise InvalidPolicy(f"{name}.min is {lowest}, but {name}.max is {highest}: min must not exceed max")
    return lowest, highest


def _range(fields: Mapping[str, Any], name: str, possible: Range, default: Range) -> Range:
    """Fill in the bound that the user left out, without letting a default contradict the other one."""
    lowest, highest = _bounds(fields, name, possible)
    if lowest is None:
        lowest = default.lowest if highest is None else min(default.lowest, highest)
    if highest is None:
        highest = max(default.highest, lowest)
    return Range(lowest, highest)


def _classes(value: Any) -> tuple[WorkerClass, ...]:
    if value is None:
        return TUNABLE_CLASSES
    known = ", ".join(each.value for each in TUNABLE_CLASSES)
    if not isinstance(value, list | tuple) or not value:
        raise InvalidPolicy(f"workerClasses must be a list with at least one of {known}, not {value!r}")
    for each in value:
        if each not in TUNABLE_CLASSES:
            raise InvalidPolicy(f"workerClasses has {each!r}; the tuner chooses among {known}")
    # in the tuner's order, each once: the user's order has no meaning
    return tuple(each for each in TUNABLE_CLASSES if each in value)


def _windows(value: Any) -> Windows:
    if value is None:
        return Windows()
    fields = _object(value, "windows")
    _refuse_unknown(fields, tuple(_WINDOW_NAMES.values()), "windows.")
    numbers: dict[str, float] = {}
    for attribute, name in _WINDOW_NAMES.items():
        if name not in fields:
            continue
        number = fields[name]
        if not is_number(number):
            raise InvalidPolicy(f"windows.{name} must be a number, not {number!r}")
        if not 0 <= number <= _LONGEST or (number == 0 and attribute not in _MAY_BE_ZERO):
            least = "0" if attribute in _MAY_BE_ZERO else "more than 0"
            raise InvalidPolicy(f"windows.{name} is {number}, but must be {least} and at most {_LONGEST:.0f}")
        numbers[attribute] = float(number)
    return Windows(**numbers)
