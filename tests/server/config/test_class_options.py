"""Which options a worker class would not honour: a table, and what follows from it for a switch."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from gunicorn.config import Config

from stablehand_server.config.class_options import excluded, not_honoured, refusal
from stablehand_tuner.contracts.settings import WorkerClass


def before(worker, req):
    """Stand for a hook of the user's."""


def after(worker, req, environ, resp):
    """Stand for another one."""


@pytest.fixture
def configured():
    """Make a configuration that uses some options."""

    def configure(**options):
        config = Config()
        for name, value in options.items():
            config.set(name, value)
        return config

    return configure


@pytest.mark.parametrize("worker_class", WorkerClass)
def test_every_class_honours_what_gunicorn_has_by_default(configured, worker_class):
    assert not_honoured(worker_class, configured()) == []
    assert refusal(worker_class, configured()) is None


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"proxy_protocol": "v1"}, "--proxy-protocol"),
        ({"protocol": "uwsgi"}, "--protocol"),
        ({"pre_request": before}, "pre_request"),
        ({"post_request": after}, "post_request"),
        ({"accesslog": "-"}, "--access-logfile"),
        ({"limit_request_line": 100}, "--limit-request-line"),
        ({"limit_request_fields": 10}, "--limit-request-fields"),
        ({"limit_request_field_size": 100}, "--limit-request-field_size"),
        ({"statsd_host": "127.0.0.1:8125"}, "--statsd-host"),
        ({"http_parser": "fast"}, "--http-parser fast"),
        ({"casefold_http_method": True}, "--casefold-http-method"),
        ({"permit_unconventional_http_version": True}, "--permit-unconventional-http-version"),
        ({"permit_obsolete_folding": True}, "--permit-obsolete-folding"),
        ({"strip_header_spaces": True}, "--strip-header-spaces"),
        ({"http_protocols": "h2,h1", "certfile": __file__}, "--http-protocols h2"),
        ({"http2_cleartext": "prior-knowledge"}, "--http2-cleartext"),
    ],
)
def test_what_tornado_does_nothing_with_is_named(configured, options, named):
    config = configured(**options)

    assert not_honoured(WorkerClass.TORNADO, config) == [named]
    assert not_honoured(WorkerClass.GTHREAD, config) == []
    assert refusal(WorkerClass.TORNADO, config) == (
        f"worker class tornado does not honour {named}, which this server uses"
    )


@pytest.mark.parametrize(
    "option", ["permit_obsolete_folding", "permit_unconventional_http_version", "strip_header_spaces"]
)
def test_what_the_parser_of_asgi_does_not_know_is_named(configured, option):
    assert not_honoured(WorkerClass.ASGI, configured(**{option: True})) == [f"--{option.replace('_', '-')}"]


def test_classes_with_a_tls_of_their_own_library_take_a_broken_stream_for_its_end(configured):
    config = configured(suppress_ragged_eofs=False, certfile=__file__)

    assert excluded(config, WorkerClass.GTHREAD) == [WorkerClass.GEVENT, WorkerClass.TORNADO, WorkerClass.ASGI]
    assert excluded(configured(suppress_ragged_eofs=False), WorkerClass.GTHREAD) == []


def test_a_class_that_offers_http2_and_does_not_speak_it_is_excluded(configured):
    config = configured(http_protocols="h2,h1", certfile=__file__)

    assert excluded(config, WorkerClass.GTHREAD) == [WorkerClass.SYNC, WorkerClass.TORNADO]
    assert excluded(configured(http_protocols="h2,h1"), WorkerClass.GTHREAD) == [], "which is for TLS alone"


def test_without_its_package_the_fast_parser_excludes_all_classes_that_would_use_it(configured, monkeypatch):
    monkeypatch.setitem(sys.modules, "gunicorn_h1c", None)
    config = configured(http_parser="fast")

    assert excluded(config, WorkerClass.TORNADO) == [each for each in WorkerClass if each is not WorkerClass.TORNADO]


def test_a_preloaded_app_keeps_its_locks_from_greenlets(configured):
    config = configured(preload_app=True)

    assert excluded(config, WorkerClass.SYNC) == [WorkerClass.GEVENT, WorkerClass.EVENTLET]


def test_a_class_that_the_configuration_names_itself_is_never_excluded(configured):
    config = configured(proxy_protocol="auto", preload_app=True)

    assert WorkerClass.TORNADO not in excluded(config, WorkerClass.TORNADO)
    assert WorkerClass.TORNADO in excluded(config, WorkerClass.GEVENT)
    assert WorkerClass.GEVENT not in excluded(config, WorkerClass.GEVENT)


def test_several_options_are_named_in_one_sentence(configured):
    config = configured(proxy_protocol="v1", accesslog="-", limit_request_fields=5)

    assert refusal(WorkerClass.TORNADO, config) == (
        "worker class tornado does not honour --proxy-protocol, --access-logfile and --limit-request-fields, "
        "which this server uses"
    )


def test_an_invalid_variable_of_gunicorns_is_reported_in_one_sentence():
    env = {**os.environ, "FORWARDED_ALLOW_IPS": "nowhere"}
    command = [sys.executable, "-m", "stablehand_server", "shop:app"]
    ended = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=60)

    assert ended.stderr.split("\n")[-2].startswith("Error: 'nowhere' ")
    assert "Traceback" not in ended.stderr
