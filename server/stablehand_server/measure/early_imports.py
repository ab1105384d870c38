"""Packages that are imported before a worker could patch the standard library, and keep what the patch replaces.

gevent replaces names in the standard library. A module that was imported before, by the configuration file, by
`--preload` or by a program that starts the server itself, may have bound the original: a lock or a socket that blocks
all greenlets, or an SSLContext, of which every use then fails.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from stablehand_tuner.contracts.metric_names import EARLY_PACKAGES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_OTHER = EARLY_PACKAGES[-1]
# The server's own, and those that look after themselves.
_IGNORED = {
    *sys.stdlib_module_names,
    "stablehand_server",
    "stablehand_tuner",
    "gunicorn",
    "gevent",
    "greenlet",
    "zope",
    "eventlet",
}
_CLASSES = (("ssl", "SSLContext"), ("ssl", "SSLSocket"), ("socket", "socket"))
_FUNCTIONS = (
    ("time", "sleep"),
    ("socket", "create_connection"),
    ("socket", "getaddrinfo"),
    ("select", "select"),
    ("subprocess", "Popen"),
)


def early_packages(modules: Mapping[str, Any]) -> frozenset[str]:
    """Return the packages of EARLY_PACKAGES that hold an original; `modules` is sys.modules, before the app is loaded.

    If the standard library is patched already, what they hold is not the original, and none is returned.
    """
    monkey = modules.get("gevent.monkey")
    if monkey is not None and getattr(monkey, "saved", None):
        return frozenset()
    originals = {
        id(getattr(modules[module], name))
        for module, name in (*_CLASSES, *_FUNCTIONS)
        if hasattr(modules.get(module), name)
    }
    locks = _lock_types(modules.get("threading"))
    found = set()
    for top, module in _of_others(modules):
        if top not in found and _holds(module, originals, locks):
            found.add(top if top in EARLY_PACKAGES else _OTHER)
    return frozenset(found)


def _of_others(modules: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, module in list(modules.items()):
        top = name.partition(".")[0]
        if top not in _IGNORED:
            yield top, module


def _lock_types(threading: Any) -> tuple[type, ...]:
    if threading is None:
        return ()
    return (type(threading.Lock()), type(threading.RLock()), threading.Condition, threading.Semaphore, threading.Event)


def _holds(module: Any, originals: set[int], locks: tuple[type, ...]) -> bool:
    values = list(getattr(module, "__dict__", {}).values())
    return any(id(value) in originals or isinstance(value, locks) for value in values)
