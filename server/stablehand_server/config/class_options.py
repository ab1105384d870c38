"""Which options of a configuration a worker class would not honour: a live switch to it is refused for each of them.

A user who starts gunicorn with such a combination has asked for it, and gets it with a warning. A switch may come from
elsewhere, a tuner for example, and must not take away what the running class provides.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from stablehand_server.config import fast_parser
from stablehand_server.gunicorn_internals.settings import Config
from stablehand_tuner.contracts.settings import WorkerClass

if TYPE_CHECKING:
    from collections.abc import Callable

_TORNADO, _ASGI, _SYNC = WorkerClass.TORNADO, WorkerClass.ASGI, WorkerClass.SYNC
_GREEN = (WorkerClass.GEVENT, WorkerClass.EVENTLET)


@functools.cache
def _defaults() -> Config:
    return Config()  # not at import: a variable that gunicorn refuses must end in its message


def _differs(name: str) -> Callable[[Config], bool]:
    return lambda config: bool(getattr(config, name) != getattr(_defaults(), name))


def _is_hooked(name: str) -> Callable[[Config], bool]:
    return lambda config: config.settings[name].get() is not config.settings[name].default


def _takes_no_ragged_ends(config: Config) -> bool:
    return bool(config.is_ssl and not config.suppress_ragged_eofs)


# Each option as a user writes it, when a configuration uses it, and the classes that ignore it.
_NOT_HONOURED: tuple[tuple[str, Callable[[Config], bool], tuple[WorkerClass, ...]], ...] = (
    ("--proxy-protocol", _differs("proxy_protocol"), (_TORNADO,)),
    ("--protocol", _differs("protocol"), (_TORNADO,)),
    ("pre_request", _is_hooked("pre_request"), (_TORNADO,)),
    ("post_request", _is_hooked("post_request"), (_TORNADO,)),
    ("--access-logfile", lambda config: config.accesslog is not None, (_TORNADO,)),
    ("--limit-request-line", _differs("limit_request_line"), (_TORNADO,)),
    ("--limit-request-fields", _differs("limit_request_fields"), (_TORNADO,)),
    ("--limit-request-field_size", _differs("limit_request_field_size"), (_TORNADO,)),
    ("--statsd-host", lambda config: config.statsd_host is not None, (_TORNADO,)),  # by way of the access log
    ("--http-parser fast", lambda config: config.http_parser == "fast", (_TORNADO,)),
    ("--casefold-http-method", _differs("casefold_http_method"), (_TORNADO,)),
    ("--permit-unconventional-http-version", _differs("permit_unconventional_http_version"), (_TORNADO, _ASGI)),
    ("--permit-obsolete-folding", _differs("permit_obsolete_folding"), (_TORNADO, _ASGI)),
    ("--strip-header-spaces", _differs("strip_header_spaces"), (_TORNADO, _ASGI)),
    # A client that breaks off in the middle of TLS has come to the end of its stream there, also where that is no end.
    ("suppress_ragged_eofs", _takes_no_ragged_ends, (WorkerClass.GEVENT, _TORNADO, _ASGI)),
    # They offer HTTP/2 all the same, and do not understand the client that takes it.
    ("--http-protocols h2", lambda config: bool(config.is_ssl and "h2" in config.http_protocols), (_SYNC, _TORNADO)),
    ("--http2-cleartext", _differs("http2_cleartext"), (_SYNC, _TORNADO)),
    # Locks created before the standard library is patched stay native: a greenlet that waits for one blocks all others.
    ("--preload", lambda config: bool(config.preload_app), _GREEN),
)


def not_honoured(worker_class: WorkerClass, config: Config) -> list[str]:
    """Return the options that the configuration uses and the class would not honour, whichever class it names."""
    return [name for name, used, classes in _NOT_HONOURED if worker_class in classes and used(config)]


def refusal(worker_class: WorkerClass, config: Config) -> str | None:
    """Return in one sentence why a switch to a class would lose an option in use, or None if it would not."""
    options = not_honoured(worker_class, config)
    if not options:
        return None
    return f"worker class {worker_class.value} does not honour {_listed(options)}, which this server uses"


def excluded(config: Config, named: WorkerClass | None) -> list[WorkerClass]:
    """Return the classes to which a switch would be refused; never the one that the configuration itself names."""
    return [
        each
        for each in WorkerClass
        if each is not named and (not_honoured(each, config) or fast_parser.fault(config, each))
    ]


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
