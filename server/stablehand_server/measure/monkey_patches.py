"""With which libraries the app itself has replaced Python's threads, as `gevent.monkey.patch_all()` does.

Under gevent and eventlet the worker does the same before it loads the app. What the app does after that has no effect,
but it shows that the app needs it: so the worker notes such calls.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def _by_gevent(modules: Mapping[str, Any]) -> bool:
    monkey = modules.get("gevent.monkey")
    return monkey is not None and bool(monkey.is_module_patched("threading"))


def _by_eventlet(modules: Mapping[str, Any]) -> bool:
    patcher = modules.get("eventlet.patcher")
    return patcher is not None and bool(patcher.is_monkey_patched("thread"))


_PATCHED: Mapping[str, Callable[[Mapping[str, Any]], bool]] = {"gevent": _by_gevent, "eventlet": _by_eventlet}


class MonkeyPatches:
    """What has been patched in a worker's process, other than by the worker.

    Args:
        modules: sys.modules.
    """

    def __init__(self, modules: Mapping[str, Any]) -> None:
        self._modules = modules
        self._own = ""
        self._noted: set[str] = set()

    def before_own(self, library: str) -> None:
        """Note what was patched until now: the worker is about to patch with this library."""
        self._noted = set(self.by_app())
        self._own = library

    def watch(self, module: Any, name: str) -> None:
        """Note calls of the library's function, such as `patch_all` of `gevent.monkey`, from now on."""
        original = getattr(module, name)

        @functools.wraps(original)
        def noting(*arguments: Any, **options: Any) -> Any:
            self._noted.add(self._own)
            return original(*arguments, **options)

        setattr(module, name, noting)

    def by_app(self) -> frozenset[str]:
        """Return the libraries with which others than the worker have replaced Python's threads."""
        found = {
            name for name, is_patched in _PATCHED.items() if name != self._own and _certainly(is_patched, self._modules)
        }
        return frozenset(found | self._noted)


def _certainly(is_patched: Callable[[Mapping[str, Any]], bool], modules: Mapping[str, Any]) -> bool:
    try:
        return is_patched(modules)
    except Exception:  # noqa: BLE001 (half imported, or another version: nothing is known)
        return False
