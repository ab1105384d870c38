"""The access log as JSON: one object per line, with the request's id and the worker that served it.

The rest of gunicorn's logging is unchanged: files, syslog, statsd and logging configurations get the same line.
"""

from __future__ import annotations

import datetime as dt
import json
import re
import time
import uuid
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NamedTuple

from stablehand_server.gunicorn_internals.logs import Logger, SafeAtoms, Statsd

if TYPE_CHECKING:
    from collections.abc import Callable

    from stablehand_server.gunicorn_internals.settings import Config

# The format that goes with `JSONAtoms`: the line is made as one of the atoms from which gunicorn formats its own.
FORMAT = "%(json)s"
REQUEST_ID = "HTTP_X_REQUEST_ID"
# What may be passed to other systems' logs and headers unchanged: no spaces, quotes or line breaks, limited in length.
_SAFE_ID = re.compile(r"[A-Za-z0-9._~:/+=@-]{1,128}")
# Writes of several processes to one pipe are not interleaved up to PIPE_BUF (4096 bytes): all fields together fit.
_LONGEST_PATH = 2048
_LONGEST_AGENT = 512
_LONGEST_WORD = 128
_LONGEST_ESCAPE = len("\\u0000")


class Request(NamedTuple):
    """What is known of a request from the moment it enters the app."""

    id: str
    began: float  # time.monotonic()
    method: str | None
    uri: str | None


# The request that this thread, greenlet or task serves. gunicorn does not give its environ to the log when it fails.
_serving: ContextVar[Request | None] = ContextVar("stablehand_request", default=None)


def request_id(offered: Any) -> str:
    """Return the id that a client or proxy offered, if it is safe to log and to pass on, otherwise a new one."""
    if isinstance(offered, str) and _SAFE_ID.fullmatch(offered):
        return offered
    return uuid.uuid4().hex


def began(identifier: str, method: str | None, uri: str | None) -> None:
    """Note that a request enters the app, in the thread, greenlet or task that will log it."""
    _serving.set(Request(identifier, time.monotonic(), method, uri))


def identify(environ: dict[str, Any]) -> None:
    """Give a WSGI request an id, which the app finds in the environ's HTTP_X_REQUEST_ID, and note that it begins."""
    environ[REQUEST_ID] = identifier = request_id(environ.get(REQUEST_ID))
    began(identifier, environ.get("REQUEST_METHOD"), environ.get("RAW_URI"))


def identified(app: Callable[..., Any]) -> Callable[..., Any]:
    """Return the WSGI app with an id for each request."""

    def with_id(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        identify(environ)
        return app(environ, start_response)

    return with_id


class JSONAtoms:
    """A mixin for gunicorn's loggers: the line of a request as JSON where the configuration says so."""

    cfg: Config
    worker: tuple[int, str] | None = None  # index and class, in a worker's process

    def atoms(self, response: Any, request: Any, environ: dict[str, Any], request_time: Any) -> dict[str, Any]:
        """Return what the access log's format may name.

        Args:
            response: gunicorn's, of WSGI or ASGI.
            request: gunicorn's, of WSGI or ASGI.
            environ: what the app got, or what is known of it for a request that failed.
            request_time: a timedelta, or an object with its seconds and microseconds.
        """
        if not self.cfg.access_log_json:
            atoms: dict[str, Any] = super().atoms(response, request, environ, request_time)  # type: ignore[misc]
            return atoms
        seconds = request_time.seconds + request_time.microseconds / 1e6
        served, method, uri = _serving.get(), environ.get("REQUEST_METHOD"), environ.get("RAW_URI")
        _serving.set(None)
        if served is not None and (served.method, served.uri) == (method, uri):
            identifier, seconds = served.id, max(seconds, time.monotonic() - served.began)
        else:
            identifier = request_id(_header(request, environ, "X_REQUEST_ID"))
        index, worker_class = self.worker or (None, None)
        fields = {
            "time": dt.datetime.now(dt.timezone.utc).isoformat(timespec="milliseconds"),
            "method": _bounded(method, _LONGEST_WORD),
            "path": _bounded((uri or "").partition("?")[0], _LONGEST_PATH),
            "status": _status(response.status),
            "duration_seconds": round(seconds, 6),
            "bytes": getattr(response, "sent", None),
            "remote": _bounded(environ.get("REMOTE_ADDR"), _LONGEST_WORD),
            "user_agent": _bounded(_header(request, environ, "USER_AGENT"), _LONGEST_AGENT),
            "request_id": identifier,
            "worker": index,
            "worker_class": worker_class,
        }
        return {"json": json.dumps(fields, separators=(",", ":"))}

    def atoms_wrapper_class(self, atoms: dict[str, Any]) -> dict[str, Any]:
        """Return the atoms as the format wants them: gunicorn escapes quotes, which JSON has done already."""
        return atoms if self.cfg.access_log_json else SafeAtoms(atoms)


class AccessLogger(JSONAtoms, Logger):
    """gunicorn's logger."""


class StatsdAccessLogger(JSONAtoms, Statsd):
    """gunicorn's logger with statsd."""


def configure(config: Config) -> None:
    """Let a configuration use these loggers, unless the user has named another one.

    Raises:
        RuntimeError: when JSON is asked for together with another logger, which does not support it.
    """
    chosen = config.logger_class
    ours = {Logger: AccessLogger, Statsd: StatsdAccessLogger}.get(chosen)
    if ours is not None:
        config.set("logger_class", ours)
    elif config.access_log_json and not issubclass(chosen, JSONAtoms):
        raise RuntimeError(
            f"--access-log-json cannot be had with --logger-class {chosen.__module__}.{chosen.__qualname__}: "
            "leave one of them out"
        )
    if config.access_log_json:
        config.set("access_log_format", FORMAT)
        if config.accesslog is None:
            config.set("accesslog", "-")


def in_worker(log: Any, index: int, worker_class: str) -> None:
    """Set the worker that a worker's copy of the logger belongs to."""
    if isinstance(log, JSONAtoms):
        log.worker = (index, worker_class)


def _header(request: Any, environ: dict[str, Any], name: str) -> Any:
    """Return a request header by its name in an environ; the environ of a failed request has no headers."""
    value = environ.get(f"HTTP_{name}")
    if value is not None:
        return value
    found = (text for key, text in getattr(request, "headers", ()) if key.upper().replace("-", "_") == name)
    return next(found, None)


def _status(status: Any) -> int | None:
    """Return the number of a status: WSGI has "200 OK" as text or bytes, ASGI a number."""
    text = status.decode("latin-1") if isinstance(status, bytes) else str(status)
    number = text.partition(" ")[0]
    return int(number) if number.isdigit() else None


def _bounded(text: Any, longest: int) -> str | None:
    """Return the text, cut so that it takes at most so many bytes as JSON."""
    if text is None:
        return None
    whole = str(text)
    certainly = longest // _LONGEST_ESCAPE
    return whole if len(whole) <= certainly or len(json.dumps(whole)) <= longest else whole[:certainly]
