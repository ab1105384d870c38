"""gunicorn is as it was when the server was adapted to it: a newer version fails here, with what it has changed."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata

import pytest

from stablehand_dev.gunicorn_uses import record, uses

VERSION = metadata.version("gunicorn")


def test_gunicorn_has_what_the_server_uses_as_it_was_recorded():
    assert not record.changes_of_installed()


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("gunicorn.http.wsgi.create", "a function that is called"),
        ("gunicorn.workers.sync.SyncWorker.handle_request", "a method that a mixin replaces"),
        ("gunicorn.arbiter.Arbiter.spawn_worker", "a method that a subclass replaces"),
        ("gunicorn.asgi.protocol.ASGIProtocol._feed_callback_parser", "a method that a subclass calls"),
        ("gunicorn.arbiter.Arbiter.LISTENERS", "an attribute that a subclass reads"),
        ("gunicorn.http.body.LengthReader.length", "an attribute of an object that gunicorn made"),
        ("gunicorn.config.Config.is_ssl", "a property of the configuration"),
        ("gunicorn's setting graceful_timeout", "a setting"),
    ],
)
def test_each_kind_of_use_is_found(name, kind):
    assert name in record.read(), kind


def test_a_signature_that_has_changed_is_named_with_both():
    changes = record.changes({"gunicorn.sock.ssl_context": "(conf)"}, {"gunicorn.sock.ssl_context": "(conf, log)"})

    assert changes == [
        f"gunicorn {VERSION} has changed gunicorn.sock.ssl_context: it was (conf), and is (conf, log): {record.HOW}"
    ]


def test_a_removed_method_is_named():
    (change,) = record.changes({"gunicorn.arbiter.Arbiter.stop": "(self, graceful=True)"}, {})

    assert change.startswith(f"gunicorn {VERSION} has no gunicorn.arbiter.Arbiter.stop (self, graceful=True) any more")


def test_a_new_use_of_gunicorn_is_to_be_recorded():
    (change,) = record.changes({}, {"gunicorn.util.parse_address": "(netloc, default_port='8000')"})

    assert change.startswith("the server uses gunicorn.util.parse_address (netloc, default_port='8000'), which is not")


def test_a_name_that_cannot_be_imported_any_more_is_named_and_nothing_else(monkeypatch):
    monkeypatch.delattr("gunicorn.sock.ssl_wrap_socket")

    (change,) = record.changes_of_installed()
    assert change.startswith(f"gunicorn {VERSION} has no gunicorn.sock.ssl_wrap_socket (sock, conf) any more")


def test_every_name_that_the_server_imports_is_recorded():
    assert uses.imported() <= record.read().keys()


def test_the_master_loads_nothing_that_is_for_one_class_of_workers_alone():
    loads = (
        "import sys, stablehand_server.application, stablehand_server.workers.sync;"
        "print(*sys.modules.keys() & {'gevent', 'tornado', 'eventlet', 'asyncio', 'gunicorn.asgi'})"
    )
    loaded = subprocess.run([sys.executable, "-c", loads], check=True, capture_output=True, text=True).stdout.split()

    assert loaded == []
