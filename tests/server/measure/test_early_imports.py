from __future__ import annotations

import socket
import ssl
import subprocess
import threading
import time
import types

import pytest

from stablehand_server.measure.early_imports import early_packages

STANDARD = {"ssl": ssl, "socket": socket, "time": time, "threading": threading, "subprocess": subprocess}


def module(**names):
    made = types.ModuleType("made")
    made.__dict__.update(names)
    return made


@pytest.mark.parametrize(
    "held", [ssl.SSLContext, socket.socket, time.sleep, subprocess.Popen, threading.Lock(), threading.Condition()]
)
def test_a_package_that_keeps_what_a_patch_replaces_is_early(held):
    assert early_packages({**STANDARD, "urllib3.util.ssl_": module(anything=held)}) == {"urllib3"}


def test_a_package_that_only_imports_modules_or_makes_locks_later_is_not():
    assert early_packages({**STANDARD, "urllib3": module(ssl=ssl, time=time, Lock=threading.Lock)}) == frozenset()


def test_any_other_package_has_one_name_for_all():
    modules = {**STANDARD, "shop.views": module(lock=threading.RLock()), "shop": module(), "tax": module(s=time.sleep)}

    assert early_packages(modules) == {"other"}


def test_the_standard_library_and_the_servers_own_modules_do_not_count():
    held = module(lock=threading.Lock(), context=ssl.SSLContext)

    assert early_packages({**STANDARD, "logging": held, "gunicorn.sock": held, "gevent.hub": held}) == frozenset()


def test_nothing_is_early_once_the_standard_library_is_patched():
    patched = {"gevent.monkey": types.SimpleNamespace(saved={"ssl": {}})}

    assert early_packages({**STANDARD, **patched, "urllib3": module(context=ssl.SSLContext)}) == frozenset()


def test_what_stands_in_the_place_of_a_module_does_no_harm():
    assert early_packages({**STANDARD, "lazy": None, "odd": 3}) == frozenset()
