"""The connection pools of the app, where it has any of a known library: size, in use, and who waits for a connection.

Nothing is imported for it, and a library that is not as expected does no harm: it is logged once, and no longer looked
at. SQLAlchemy tells of each new connection by an event; pools of psycopg_pool are found as global names.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any, NamedTuple

from stablehand_tuner.contracts.metric_names import POOL_LIBRARIES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_SQLALCHEMY, _PSYCOPG = POOL_LIBRARIES
_MOST_POOLS = 16  # of one library: an app that makes one for each request has no pool in this sense
_WEIGHT = 0.1  # of the newest look at what is in use: with four a second it is a mean over some seconds


class PoolUse(NamedTuple):
    """What a pool can give, how much of that is in use, and how many wait for it."""

    size: float
    in_use: float
    waiting: float


class Pools:
    """The pools that have been found in this process.

    Args:
        modules: sys.modules.
        log: takes a message and its arguments.
    """

    def __init__(self, modules: Mapping[str, Any], log: Callable[..., None]) -> None:
        self._modules = modules
        self._log = log
        self._pools: dict[str, dict[int, Callable[[], Any]]] = {library: {} for library in POOL_LIBRARIES}
        self._given_up: set[str] = set()
        self._listens = False
        self._in_use = dict.fromkeys(POOL_LIBRARIES, 0.0)

    def find(self) -> None:
        """Look for pools: called when the app has been loaded, and every few seconds."""
        self._safely(_SQLALCHEMY, self._listen)
        self._safely(_PSYCOPG, self._search)

    def look(self) -> dict[str, PoolUse]:
        """Return by library what its tightest pool shows; called several times a second."""
        found = {}
        for library, pools in self._pools.items():
            if pools and (use := self._safely(library, lambda of=library: self._use(of))) is not None:
                found[library] = use
        return found

    def _safely(self, library: str, function: Callable[..., Any]) -> Any:
        if library in self._given_up:
            return None
        try:
            return function()
        except Exception as error:  # noqa: BLE001 (whatever another version of the library raises)
            self._given_up.add(library)
            self._log("The pools of %s are not observed: %s: %s", library, type(error).__name__, error)
            return None

    def _listen(self) -> None:
        pool, event = (self._modules.get(f"sqlalchemy.{name}") for name in ("pool", "event"))
        if self._listens or pool is None or event is None or not hasattr(pool, "Pool"):
            return
        self._listens = True
        event.listen(pool.Pool, "connect", lambda _, record: self._safely(_SQLALCHEMY, lambda: self._note(record)))

    def _note(self, record: Any) -> None:
        self._add(_SQLALCHEMY, record._ConnectionRecord__pool)  # noqa: SLF001 (no event tells the pool)

    def _search(self) -> None:
        library = self._modules.get("psycopg_pool")
        kinds = tuple(
            kind for name in ("ConnectionPool", "AsyncConnectionPool") if (kind := getattr(library, name, None))
        )
        if kinds and not self._pools[_PSYCOPG]:
            for pool in _globals(self._modules, kinds):
                self._add(_PSYCOPG, pool)

    def _add(self, library: str, pool: Any) -> None:
        known = self._pools[library]
        if len(known) < _MOST_POOLS and _measures(library, pool) is not None:
            known[id(pool)] = weakref.ref(pool)

    def _use(self, library: str) -> PoolUse | None:
        known = self._pools[library]
        uses = []
        for key, reference in list(known.items()):
            pool = reference()
            use = None if pool is None else _measures(library, pool)
            if use is None:
                known.pop(key, None)
            else:
                uses.append(use)
        if not uses:
            return None
        tightest = max(uses, key=lambda use: (use.in_use / use.size, -use.size))
        self._in_use[library] += (tightest.in_use - self._in_use[library]) * _WEIGHT
        return PoolUse(tightest.size, self._in_use[library], sum(use.waiting for use in uses))


def _measures(library: str, pool: Any) -> PoolUse | None:
    """Return what a pool shows now; None where it has no limit, or gives no connection to two requests."""
    if library == _PSYCOPG:
        stats = pool.get_stats()
        in_use = stats["pool_size"] - stats["pool_available"]
        return PoolUse(float(stats["pool_max"]), float(max(0, in_use)), float(stats["requests_waiting"]))
    if not hasattr(pool, "checkedout") or not hasattr(pool, "_max_overflow"):
        return None  # as the pools for SQLite in memory, and NullPool
    overflow = pool._max_overflow  # noqa: SLF001 (not public)
    size = pool.size() + overflow
    if overflow < 0 or size < 1:
        return None
    condition = getattr(getattr(pool, "_pool", None), "not_empty", None)
    return PoolUse(float(size), float(max(0, pool.checkedout())), float(len(getattr(condition, "_waiters", ()))))


def _globals(modules: Mapping[str, Any], kinds: tuple[type, ...]) -> Iterator[Any]:
    """Yield the objects of some classes that are global names, or attributes of Django's database wrappers."""
    wrapper = getattr(modules.get("django.db.backends.postgresql.base"), "DatabaseWrapper", None)
    yield from (each for each in getattr(wrapper, "_connection_pools", {}).values() if isinstance(each, kinds))
    for module in list(modules.values()):
        for value in list(getattr(module, "__dict__", {}).values()):
            if isinstance(value, kinds):
                yield value
