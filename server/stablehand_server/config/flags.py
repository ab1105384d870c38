"""The flags beyond gunicorn's own. Each class registers itself with gunicorn's parser by being defined."""

from __future__ import annotations

from importlib import metadata
from typing import TYPE_CHECKING, Any

from stablehand_server.config import container_defaults, metrics_address
from stablehand_server.config.given import RecordingConfig
from stablehand_server.config.metrics_address import Address
from stablehand_server.gunicorn_internals.settings import (
    GUNICORN_VERSION,
    Setting,
    validate_bool,
    validate_pos_int,
    validate_string,
)
from stablehand_server.gunicorn_internals.settings import Workers as GunicornWorkers
from stablehand_server.shared_memory import INDEXES

if TYPE_CHECKING:
    import argparse

SECTION = "Stablehand"


class ServerConfig(RecordingConfig):
    """gunicorn's configuration under this server's name and version."""

    def parser(self) -> argparse.ArgumentParser:
        """Return the parser of the command line; --version prints both versions."""
        parser: argparse.ArgumentParser = super().parser()
        try:
            own = metadata.version("stablehand-server")
        except metadata.PackageNotFoundError:  # on the path, but not installed, as from a checkout
            own = "not installed"
        for action in parser._actions:  # noqa: SLF001 (argparse has no public way to find an action again)
            if "--version" in action.option_strings:
                action.version = f"%(prog)s (version {own}, gunicorn {GUNICORN_VERSION})\n"  # type: ignore[attr-defined]
        return parser


def validate_paths(value: Any) -> list[str]:
    """Return a list of paths, from one or from several.

    Raises:
        TypeError: when it is neither.
    """
    if value is None:
        return []
    if isinstance(value, str):
        return [value] if value.strip() else []
    if isinstance(value, list | tuple) and all(isinstance(path, str) for path in value):
        return [path for path in value if path.strip()]
    raise TypeError(f"a path or a list of paths is needed, not {value!r}")


def validate_address(value: Any) -> Address | None:
    """Return host and port, or None for "none" and "off".

    Raises:
        ValueError: when it is no address of TCP.
    """
    if value is None or isinstance(value, Address):
        return value
    return metrics_address.parse(":".join(map(str, value)) if isinstance(value, tuple | list) else str(value))


def number_of_workers(value: Any) -> int:
    """Return a number of workers; "auto" is one for each core that this process may use, as far as memory allows.

    Raises:
        ValueError: when it is neither.
    """
    if container_defaults.is_auto(value):
        return container_defaults.of_this_process().workers
    return int(validate_pos_int(value))


def number_of_processes(value: Any) -> int:
    """Return how many processes may retire at once; 0 leaves it to the server.

    Raises:
        ValueError: when it is negative, or more than can be measured.
    """
    number = int(validate_pos_int(value))
    if number > INDEXES:
        raise ValueError(f"retire_limit is {number}, but must be at most {INDEXES}")
    return number


class _InOwnSection:
    """A mixin that shows a setting under the heading Stablehand; gunicorn's own parser has one list for all."""

    def add_option(self, parser: argparse.ArgumentParser) -> None:
        groups = parser._action_groups  # noqa: SLF001 (argparse has no public way to find a group again)
        group = next((each for each in groups if each.title == SECTION), None)
        Setting.add_option(self, group or parser.add_argument_group(SECTION))


class SettingsFile(_InOwnSection, Setting):  # noqa: D101 (desc is its documentation, and gunicorn prints it)
    name = "settings_file"
    section = SECTION
    cli = ("--settings-file",)
    meta = "PATH"
    action = "append"
    validator = validate_paths
    default = ()
    desc = """\
        A JSON file with the worker class and the numbers of workers, threads and connections to run.

        The file is watched: a change is tried beside the workers that serve, and a bad one changes nothing. May be
        given more than once: the last file that exists and is not empty wins. It overrides flags and configuration.
        """


class MetricsBind(_InOwnSection, Setting):  # noqa: D101
    name = "metrics_bind"
    section = SECTION
    cli = ("--metrics-bind",)
    meta = "ADDRESS"
    validator = validate_address
    default = metrics_address.DEFAULT
    desc = """\
        Where /metrics, /readyz and /healthz are served; "none" switches them off.

        A separate process answers there, so busy workers never delay a probe or a scrape. The default is port 9464, or
        the next free one: on every address in a container, on loopback elsewhere.
        """


class Autotune(_InOwnSection, Setting):  # noqa: D101
    name = "autotune"
    section = SECTION
    cli = ("--autotune",)
    action = "store_true"
    validator = validate_bool
    default = False
    desc = """\
        Tune worker class, workers, threads and connections to the load on this machine, without Kubernetes.

        The tuner writes the settings file (the last one given, or a private one), which the server follows.
        """


class AutotuneState(_InOwnSection, Setting):  # noqa: D101
    name = "autotune_state"
    section = SECTION
    cli = ("--autotune-state",)
    meta = "PATH"
    validator = validate_string
    default = None
    desc = """\
        A file in which the tuner of --autotune keeps what it has learned across restarts.
        """


class BootTimeout(_InOwnSection, Setting):  # noqa: D101
    name = "boot_timeout"
    section = SECTION
    cli = ("--boot-timeout",)
    meta = "SECONDS"
    validator = validate_pos_int
    type = int
    default = 120
    desc = """\
        How long a worker may take to load the app before it is ended; 0 means no limit.

        A change of settings whose first worker hangs is then rolled back; the workers that serve are not affected.
        """


class RetireTimeout(_InOwnSection, Setting):  # noqa: D101
    name = "retire_timeout"
    section = SECTION
    cli = ("--retire-timeout",)
    meta = "SECONDS"
    validator = validate_pos_int
    type = int
    default = 0
    desc = """\
        How long a worker that a change replaces may take to finish its requests; 0 means as long as the longest takes.

        A change is one of settings, a reload, fewer workers, max_requests or a rollback. When the server itself shuts
        down, --graceful-timeout applies instead.
        """


class RetireLimit(_InOwnSection, Setting):  # noqa: D101
    name = "retire_limit"
    section = SECTION
    cli = ("--retire-limit",)
    meta = "PROCESSES"
    validator = number_of_processes
    type = int
    default = 0
    desc = """\
        How many processes may finish long requests beside the workers that serve; 0 means as many as there are workers.

        At the limit, the next change waits. No request is ever cut for it.
        """


def _default_workers() -> int:
    named = container_defaults.default_of_image()
    return int(GunicornWorkers.default) if named is None else number_of_workers(named)


def _as_written(value: str) -> int | str:
    """Return what the command line says, as far as gunicorn's own flag looks at it there: -1 is refused later."""
    return value if container_defaults.is_auto(value) else int(value)


_as_written.__name__ = "number of workers"  # in argparse's message: invalid ... value


class Workers(GunicornWorkers):  # noqa: D101
    default = _default_workers()
    validator = number_of_workers
    type = staticmethod(_as_written)
    meta = "INT|auto"
    desc = """\
        The number of worker processes; "auto" is one for each core that the cgroup grants, as far as memory allows.

        Defaults to the value of WEB_CONCURRENCY, which may also be "auto"; if that is not set, to STABLEHAND_WORKERS,
        which no other program reads; otherwise to 1.
        """


Workers.order = GunicornWorkers.order  # its place in --help


class DrainSeconds(_InOwnSection, Setting):  # noqa: D101
    name = "drain_seconds"
    section = SECTION
    cli = ("--drain-seconds",)
    meta = "SECONDS"
    validator = validate_pos_int
    type = int
    default = 0
    desc = """\
        How long to keep serving after SIGTERM, with /readyz failing, so that load balancers can take notice.

        Meanwhile every response closes its connection. Then in-flight requests have --graceful-timeout to finish.
        """


class ConnectionLifetime(_InOwnSection, Setting):  # noqa: D101
    name = "connection_lifetime"
    section = SECTION
    cli = ("--connection-lifetime",)
    meta = "SECONDS"
    validator = validate_pos_int
    type = int
    default = container_defaults.connection_lifetime()
    desc = """\
        For how long a client keeps its connection on average, so that clients spread over all pods; 0: no limit.

        Then the next response announces the end of the connection, and the client connects again, maybe to another pod.
        No request is cut. Defaults to the value of STABLEHAND_CONNECTION_LIFETIME, else to 0. Not for tornado.
        """


class RequestTimeout(_InOwnSection, Setting):  # noqa: D101
    name = "request_timeout"
    section = SECTION
    cli = ("--request-timeout",)
    meta = "SECONDS"
    validator = validate_pos_int
    type = int
    default = 0
    desc = """\
        How long a request may run in a worker with threads before that worker is replaced; 0 means no limit.

        For gthread, and for WSGI apps under asgi, whose threads --timeout cannot end. The worker keeps serving until
        its successor is ready; only then is the request ended. The limit applies to every request: it must exceed the
        longest time that a long poll, an event stream or a websocket may take.
        """


class AccessLogJSON(_InOwnSection, Setting):  # noqa: D101
    name = "access_log_json"
    section = SECTION
    cli = ("--access-log-json",)
    action = "store_true"
    validator = validate_bool
    default = False
    desc = """\
        Write the access log as one JSON object per line, to stdout unless --access-logfile names a file.

        Each request has an id: that of the header X-Request-Id, or a new one, which the app finds in that header.
        """
