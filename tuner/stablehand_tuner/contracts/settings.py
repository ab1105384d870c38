"""Contract 1: the four settings that decide how many requests a pre-fork server can serve at once.

The server reads them from a watched file, the operator writes them into a ConfigMap, and people write them into a
`WSGIApp`: always as the same JSON object with camelCase names, always validated here, on both ends.
"""

from __future__ import annotations

import dataclasses
import enum
import json
from typing import TYPE_CHECKING, Any

from stablehand_tuner.contracts.numbers import is_whole

if TYPE_CHECKING:
    from collections.abc import Mapping


class InvalidSettings(ValueError):  # noqa: N818 (a reader meets it in a sentence: "invalid settings: ...")
    """Invalid settings; the message is one sentence that names the field at fault."""


class WorkerClass(str, enum.Enum):
    """gunicorn's worker classes, as gunicorn names them."""

    SYNC = "sync"
    GTHREAD = "gthread"
    GEVENT = "gevent"
    EVENTLET = "eventlet"
    TORNADO = "tornado"
    ASGI = "asgi"

    def __str__(self) -> str:
        """Return gunicorn's name, not Python's `WorkerClass.SYNC`."""
        return self.value


_COUNTS_CONNECTIONS = frozenset({WorkerClass.GEVENT, WorkerClass.EVENTLET, WorkerClass.ASGI})


@dataclasses.dataclass(frozen=True)
class Range:
    """The inclusive range of whole numbers that a setting may take."""

    lowest: int
    highest: int

    def __contains__(self, value: int) -> bool:
        """Tell whether the value is within the range, both ends included."""
        return self.lowest <= value <= self.highest

    def clamp(self, value: int) -> int:
        """Return the nearest value within the range."""
        return max(self.lowest, min(self.highest, value))

    def __str__(self) -> str:
        """Return the range as text, for messages."""
        return f"{self.lowest} to {self.highest}"


WORKERS = Range(1, 512)
THREADS = Range(1, 1024)
WORKER_CONNECTIONS = Range(1, 100_000)

# attribute, name in JSON, range of the three whole numbers
_COUNTS = (
    ("workers", "workers", WORKERS),
    ("threads", "threads", THREADS),
    ("worker_connections", "workerConnections", WORKER_CONNECTIONS),
)
FIELDS = ("workerClass", *(name for _, name, _ in _COUNTS))


@dataclasses.dataclass(frozen=True)
class Settings:
    """What a server should run: an immutable, valid value.

    Raises:
        InvalidSettings: when a number is out of its range, or when the class cannot make use of the number (sync
            serves one request at a time, so more than one thread would silently be another class).
    """

    worker_class: WorkerClass
    workers: int
    threads: int = 1
    worker_connections: int = 1000

    def __post_init__(self) -> None:
        """Validate every field."""
        object.__setattr__(self, "worker_class", _known_class(self.worker_class))
        for attribute, name, allowed in _COUNTS:
            value = getattr(self, attribute)
            if not is_whole(value):
                raise InvalidSettings(f"{name} must be a whole number, not {value!r}")
            if value not in allowed:
                raise InvalidSettings(f"{name} is {value}, but must be {allowed}")
        if self.worker_class is WorkerClass.SYNC and self.threads > 1:
            raise InvalidSettings(
                f"threads is {self.threads}, but a sync worker serves one request at a time: "
                "set threads to 1, or workerClass to gthread"
            )

    @property
    def slots_per_worker(self) -> int:
        """How many requests one worker can serve at once."""
        if self.worker_class in _COUNTS_CONNECTIONS:
            return self.worker_connections
        return self.threads if self.worker_class is WorkerClass.GTHREAD else 1

    @property
    def slots(self) -> int:
        """How many requests the whole server can serve at once."""
        return self.workers * self.slots_per_worker

    def to_mapping(self) -> dict[str, str | int]:
        """Return the settings as the JSON object of the contract."""
        return {"workerClass": self.worker_class.value, **{name: getattr(self, a) for a, name, _ in _COUNTS}}

    def to_json(self) -> str:
        """Return the settings as one line of JSON, the same text for the same settings."""
        return json.dumps(self.to_mapping(), separators=(", ", ": "))

    @classmethod
    def from_mapping(cls, fields: Mapping[str, Any]) -> Settings:
        """Read the JSON object of the contract: all four fields, and no other.

        Raises:
            InvalidSettings: naming the first fault found.
        """
        unknown = sorted(set(fields) - set(FIELDS))
        if unknown:
            raise InvalidSettings(f"unknown field {unknown[0]!r}; known are {', '.join(FIELDS)}")
        missing = [name for name in FIELDS if name not in fields]
        if missing:
            raise InvalidSettings(f"{', '.join(missing)} missing; all of {', '.join(FIELDS)} are needed")
        counts = {attribute: fields[name] for attribute, name, _ in _COUNTS}
        return cls(worker_class=_known_class(fields["workerClass"]), **counts)

    @classmethod
    def from_json(cls, text: str) -> Settings:
        """Read the contract's JSON from a text.

        Raises:
            InvalidSettings: when the text is no JSON, truncated, no object, or not valid settings.
        """
        return cls.from_mapping(json_object(text))

    def __str__(self) -> str:
        """Return the settings in short: `gthread 2 × 8`, `gevent 2 × 1000`, `sync 4`."""
        if self.worker_class in _COUNTS_CONNECTIONS or self.worker_class is WorkerClass.GTHREAD:
            return f"{self.worker_class} {self.workers} × {self.slots_per_worker}"
        return f"{self.worker_class} {self.workers}"


def json_object(text: str) -> dict[str, Any]:
    """Return the JSON object that a text is.

    Raises:
        InvalidSettings: when the text is no JSON, truncated, or no object.
    """
    try:
        fields = json.loads(text)
    except ValueError as error:
        raise InvalidSettings(f"not JSON, or cut short: {error}") from error
    except RecursionError as error:
        raise InvalidSettings("not JSON of settings: nested too deeply") from error
    if not isinstance(fields, dict):
        raise InvalidSettings(f"a JSON object is needed, not {type(fields).__name__}")
    return fields


def _known_class(value: object) -> WorkerClass:
    try:
        return WorkerClass(value)
    except ValueError:
        known = ", ".join(each.value for each in WorkerClass)
        raise InvalidSettings(f"workerClass is {value!r}; known are {known}") from None
