"""What a person has given explicitly stays as given: the tuner of --autotune chooses the rest.

Who starts the server with `--workers 1` may keep state in the process's memory, which only that person knows. A bound
in the policy says otherwise, and takes the place of what was given.
"""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

from stablehand_tuner.contracts.settings import THREADS, WORKER_CONNECTIONS, WORKERS, Range, WorkerClass
from stablehand_tuner.policy import TUNABLE_CLASSES

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from stablehand_tuner.policy import Policy

# Never tuned away from: what an app that speaks ASGI runs under.
_PINNED_CLASSES = tuple(each for each in TUNABLE_CLASSES if each is not WorkerClass.ASGI)
# Pin, the policy's field that replaces it, what is shown as an example of it, and what the log calls it.
_FIELDS: tuple[tuple[str, str, Any, str], ...] = (
    ("worker_class", "workerClasses", ["sync", "gthread", "gevent"], "worker class"),
    ("workers", "workers", {"min": 1}, "workers"),
    ("threads", "threads", {"max": 64}, "threads"),
    ("worker_connections", "workerConnections", {"max": 1000}, "worker connections"),
)


@dataclasses.dataclass(frozen=True)
class Pins:
    """The values that stay as they are; None where the tuner may choose."""

    worker_class: WorkerClass | None = None
    workers: int | None = None
    threads: int | None = None
    worker_connections: int | None = None

    @classmethod
    def of(
        cls, given: Mapping[str, Any], worker_class: WorkerClass | None = None, *, named: Collection[str] = ()
    ) -> Pins:
        """Return the pins of what was given, as far as the policy does not say otherwise.

        Args:
            given: the settings that were given, by gunicorn's names.
            worker_class: the class that they select; None for one of the user's own.
            named: the fields that the policy names.
        """
        possible = {"workers": WORKERS, "threads": THREADS, "worker_connections": WORKER_CONNECTIONS}
        numbers = {
            # gunicorn accepts more than the tuner's settings can express; then the tuner has no say anyway
            pin: given[pin]
            for pin, field, _, _ in _FIELDS
            if pin in given and pin in possible and field not in named and given[pin] in possible[pin]
        }
        # only one class makes use of threads: sync has one, and an event loop ignores them
        chosen = "worker_class" in given or "threads" in numbers
        is_pinned = chosen and "workerClasses" not in named and worker_class in _PINNED_CLASSES
        return cls(worker_class=worker_class if is_pinned else None, **numbers)

    def bound(self, policy: Policy) -> Policy:
        """Return the policy with each pin as its only choice."""
        changes: dict[str, Any] = {}
        if self.worker_class is not None:
            changes["worker_classes"] = (self.worker_class,)
        if self.workers is not None:
            changes |= {"workers_lowest": self.workers, "workers_highest": self.workers}
        for name in ("threads", "worker_connections"):
            value = getattr(self, name)
            if value is not None:
                changes[name] = Range(value, value)
        return dataclasses.replace(policy, **changes)

    def in_words(self, variable: str) -> str | None:
        """Return a sentence for the log, which says how to let the tuner choose; None without a pin.

        Args:
            variable: the name of the variable that holds the policy.
        """
        kept, example = [], {}
        for pin, field, bounds, words in _FIELDS:
            value = getattr(self, pin)
            if value is not None:
                kept.append(f"{words} {value}")
                example[field] = bounds
        if not kept:
            return None
        return (
            f"The tuner keeps what was given: {', '.join(kept)}. To let it choose: {variable}='{json.dumps(example)}'"
        )
