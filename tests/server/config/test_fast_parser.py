"""--http-parser fast: what would fail every request is said in one sentence instead."""

from __future__ import annotations

import sys
import types

import pytest
from gunicorn.config import Config

from stablehand_server.config import fast_parser
from stablehand_tuner.contracts.settings import WorkerClass

GUNICORNS_OWN = [None, *(each for each in WorkerClass if each is not WorkerClass.TORNADO)]


@pytest.fixture
def configured():
    """Make a configuration that asks for the fast parser."""

    def configure(**options):
        config = Config()
        for name, value in {"http_parser": "fast", **options}.items():
            config.set(name, value)
        return config

    return configure


@pytest.fixture
def installed(monkeypatch):
    """Stand for the package; a version of so much."""

    def install(**names):
        package = types.ModuleType("gunicorn_h1c")
        vars(package).update(names)
        monkeypatch.setitem(sys.modules, "gunicorn_h1c", package)

    return install


@pytest.mark.parametrize("worker_class", GUNICORNS_OWN)
def test_without_the_package_it_is_refused_with_what_to_do(configured, monkeypatch, worker_class):
    monkeypatch.setitem(sys.modules, "gunicorn_h1c", None)

    assert fast_parser.fault(configured(), worker_class) == (
        "--http-parser fast needs the package gunicorn_h1c, which is not installed: "
        "install it, or choose --http-parser auto"
    )
    assert fast_parser.fault(configured(http_parser="auto"), worker_class) is None
    assert fast_parser.fault(configured(http_parser="python"), worker_class) is None


def test_a_class_that_reads_requests_in_another_way_does_without(configured, monkeypatch):
    monkeypatch.setitem(sys.modules, "gunicorn_h1c", None)

    assert fast_parser.fault(configured(), WorkerClass.TORNADO) is None


def test_a_version_that_gunicorn_cannot_use_is_refused(configured, installed):
    installed()
    assert "0.4.1 or later" in fast_parser.fault(configured(), WorkerClass.SYNC)


@pytest.mark.parametrize("worker_class", GUNICORNS_OWN)
def test_with_the_package_nothing_is_wrong(configured, installed, worker_class):
    installed(LimitRequestLine=ValueError)
    assert fast_parser.fault(configured(), worker_class) is None


def test_options_that_it_knows_nothing_of_are_named(configured, installed):
    installed(LimitRequestLine=ValueError)
    config = configured(permit_obsolete_folding=True, strip_header_spaces=True)

    assert fast_parser.fault(config, WorkerClass.GTHREAD) == (
        "--http-parser fast cannot be had with --permit-obsolete-folding and --strip-header-spaces: "
        "leave one of them out, or choose --http-parser auto"
    )


def test_the_proxy_protocol_needs_the_other_parser_under_asgi_alone(configured, installed):
    installed(LimitRequestLine=ValueError)
    config = configured(proxy_protocol="v1")

    assert "--proxy-protocol under asgi" in fast_parser.fault(config, WorkerClass.ASGI)
    assert fast_parser.fault(config, WorkerClass.GTHREAD) is None
