"""What the server reports about the app itself: it holds whatever the load and the settings are."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


@dataclasses.dataclass(frozen=True)
class Traits:
    """What is known about the app, before anything is tried with it.

    Attributes:
        patched_by: the libraries with which it has replaced Python's threads itself, gevent or eventlet.
        imported_early: packages that the master imported, before an event loop could patch what they use.
        runs: what it runs besides its requests, in the words of APP_RUNS.
    """

    patched_by: frozenset[str] = frozenset()
    imported_early: frozenset[str] = frozenset()
    runs: frozenset[str] = frozenset()

    def to_mapping(self) -> dict[str, list[str]]:
        """Return the traits as plain JSON; what is empty is left out."""
        fields = {field.name: sorted(getattr(self, field.name)) for field in dataclasses.fields(self)}
        return {name: values for name, values in fields.items() if values}

    @classmethod
    def from_mapping(cls, fields: Mapping[str, Any]) -> Traits:
        """Read what `to_mapping` wrote; what another version of the tuner knew besides is left out.

        Raises:
            TypeError: when it is not that.
        """
        known = {field.name for field in dataclasses.fields(cls)}
        return cls(**{name: frozenset(map(str, fields[name])) for name in known & fields.keys()})

    @classmethod
    def of_any(cls, traits: Iterable[Traits]) -> Traits:
        """Return the traits that any of several pods shows."""
        every = list(traits)
        names = [field.name for field in dataclasses.fields(cls)]
        return cls(**{name: frozenset[str]().union(*(getattr(each, name) for each in every)) for name in names})


NO_TRAITS = Traits()
