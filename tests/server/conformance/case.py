"""What a case is, and how cases are declared."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from conformance.columns import ALL

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclasses.dataclass(frozen=True)
class Setting:
    """How a pair of servers is run, which all cases of the setting share.

    `threads` counts where a class has threads; `files` are written into the server's directory; `serial` names the
    columns whose cases must not run beside each other. A setting that `needs_root` is skipped without it.
    """

    name: str
    flags: tuple[str, ...] = ()
    threads: int = 0
    files: tuple[tuple[str, str], ...] = ()
    bind: str = "tcp"
    tls: bool = False
    serial: frozenset[str] = frozenset()
    workers: tuple[tuple[str, int], ...] = ()
    needs_root: bool = False


@dataclasses.dataclass(frozen=True)
class Case:
    """A conversation with a server; `run` returns its outcome.

    Without a setting, `run` gets a function that starts servers of its own. One that is `alone` runs after those of its
    setting that run side by side; the `last` ones end the server.
    """

    name: str
    group: str
    run: Callable[..., str]
    setting: Setting | None
    columns: frozenset[str] = ALL
    alone: bool = False
    last: bool = False
    needs_root: bool = False


CASES: dict[str, Case] = {}


def add(case: Case) -> None:
    """Take a case into the suite.

    Raises:
        ValueError: when there is one with this name.
    """
    if case.name in CASES:
        raise ValueError(f"two cases are named {case.name!r}")
    CASES[case.name] = case


def case(group: str, setting: Setting | None, name: str = "", **options: object) -> Callable[..., Callable[..., str]]:
    """Make a case of a function; without a name it has the function's, with spaces."""

    def declare(run: Callable[..., str]) -> Callable[..., str]:
        add(Case(name or run.__name__.replace("__", ": ").replace("_", " "), group, run, setting, **options))
        return run

    return declare
