from __future__ import annotations

import types

import pytest

from stablehand_server.measure.monkey_patches import MonkeyPatches


class Library(types.SimpleNamespace):
    """gevent.monkey and eventlet's patcher, as far as they are looked at."""

    def __init__(self, *, patched: bool) -> None:
        super().__init__(patched=patched)

    def is_module_patched(self, name: str) -> bool:
        """As gevent.monkey has it."""
        return self.patched and name == "threading"

    def is_monkey_patched(self, name: str) -> bool:
        """As eventlet.patcher has it."""
        return self.patched and name == "thread"

    def patch_all(self, *, thread: bool = True) -> str:
        """As gevent.monkey has it."""
        self.patched = self.patched or thread
        return "done"


@pytest.mark.parametrize(("module", "library"), [("gevent.monkey", "gevent"), ("eventlet.patcher", "eventlet")])
def test_a_patch_under_a_class_that_does_not_patch_is_the_apps(module, library):
    modules = {module: Library(patched=False)}
    patches = MonkeyPatches(modules)
    assert patches.by_app() == frozenset()

    modules[module].patched = True
    assert patches.by_app() == {library}


def test_what_is_not_imported_has_patched_nothing():
    assert MonkeyPatches({}).by_app() == frozenset()


def test_the_workers_own_patch_is_not_the_apps_until_the_app_asks_for_it_too():
    monkey = Library(patched=False)
    patches = MonkeyPatches({"gevent.monkey": monkey})
    patches.before_own("gevent")
    monkey.patch_all()
    patches.watch(monkey, "patch_all")
    assert patches.by_app() == frozenset()

    assert monkey.patch_all(thread=False) == "done"
    assert patches.by_app() == {"gevent"}


def test_what_was_patched_before_the_worker_patches_is_not_its_own():
    patches = MonkeyPatches({"gevent.monkey": Library(patched=True)})
    patches.before_own("gevent")

    assert patches.by_app() == {"gevent"}


def test_the_other_library_is_still_looked_at_under_an_event_loop():
    patches = MonkeyPatches({"gevent.monkey": Library(patched=True), "eventlet.patcher": Library(patched=True)})
    patches._own = "gevent"

    assert patches.by_app() == {"eventlet"}


def test_a_library_that_cannot_be_asked_shows_nothing():
    assert MonkeyPatches({"gevent.monkey": types.SimpleNamespace()}).by_app() == frozenset()
