"""The processes beside the workers: the exporter, the tuner of --autotune, and a probe of the worker classes.

Each of them runs as the user and group of the workers. A reload may change what they do, and where.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stablehand_server.config.given import given
from stablehand_server.config.metrics_address import Address, DefaultAddress
from stablehand_server.exporter import main as exporter
from stablehand_server.gunicorn_internals.process import set_process_title
from stablehand_server.linux import privileges
from stablehand_server.master import class_probe, metrics_socket, private_folder
from stablehand_server.master.backoff import GrowingPause
from stablehand_server.master.child_process import ChildProcess
from stablehand_server.master.metrics_socket import MetricsSocket
from stablehand_server.workers import class_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from stablehand_server.gunicorn_internals.settings import Config
    from stablehand_server.shared_memory import Slots
    from stablehand_tuner.policy import Policy

_SHORTEST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.5, 30.0  # between two attempts to get the metrics' port
_SECONDS_TO_EXIT = 0.5  # of the exporter, once it has answered all connections


class Sidecars:
    """The processes beside the workers, and the metrics socket.

    Args:
        log: gunicorn's logger.
        slots: the shared memory.
        close_listeners: closes the server's listeners that a forked child has inherited: a child that kept them would
            hold the port after the master's end.
    """

    def __init__(self, log: Any, slots: Slots, close_listeners: Callable[[], None]) -> None:
        self.metrics = MetricsSocket(slots, log, self._end_exporter)
        self._log = log
        self._slots = slots
        self._close_listeners = close_listeners
        self._master = os.getpid()
        self._config: Config
        self._app = ""
        self._files: tuple[str, ...] = ()
        self._folder: Path | None = None
        self._policy: Policy
        self._wanted: Address | None = None  # an address that is not bound yet
        self._pause = GrowingPause(_SHORTEST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS)
        self._probe = self._child("probe", self._look_for_classes, supervised=False)
        self._exporter = self._child(
            "exporter",
            self._export,
            fork=self._fork_with_socket,
            end_signal=exporter.END_SIGNAL,
            longest_end_seconds=exporter.LONGEST_END_SECONDS + _SECONDS_TO_EXIT,
        )
        self._tuner = self._child("tuner", self._tune)

    def settings_files(self, config: Config) -> tuple[str, ...]:
        """Return the settings files to watch: --autotune needs one, and gets a private one if none is named.

        Raises:
            RuntimeError: when there is no place for it.
        """
        files = tuple(config.settings_file)
        if config.autotune and not files:
            if self._folder is None:
                self._folder = private_folder.made(config.uid, config.gid)
            return (str(self._folder / "settings.json"),)
        return files

    def begin(self, config: Config, files: tuple[str, ...], app: str) -> None:
        """Prepare for the start, before anything listens: an address that the user has named is bound now.

        Args:
            config: the configuration, before a settings file was applied to it.
            files: the settings files, of which the tuner writes the last.
            app: the name by which the tuner identifies the app.

        Raises:
            RuntimeError: when the metrics' port is in use, or --autotune cannot work; with the reason.
        """
        self._follow(config, files, app)
        self._wanted = address = config.metrics_bind
        if address is None or self._inherited(address) or isinstance(address, DefaultAddress):
            return
        try:
            self.metrics.open(address)
            self._wanted = None
        except OSError as error:
            if "GUNICORN_PID" not in os.environ:  # else a former master has the port until it ends
                raise RuntimeError(metrics_socket.in_words(address, error)) from error

    def begin_by_default(self) -> None:
        """Bind the default address, now that all other addresses are bound.

        Raises:
            RuntimeError: when none is free, and --autotune needs the metrics.
        """
        address = self._wanted
        if address is None or not isinstance(address, DefaultAddress) or "GUNICORN_PID" in os.environ:
            return
        self._wanted = None
        try:
            self.metrics.open(address)
        except OSError as error:
            if self._config.autotune:
                raise RuntimeError(metrics_socket.in_words(address, error)) from error
            self._log.warning("Serving without metrics: %s", metrics_socket.in_words(address, error))
            return
        bound = self.metrics.bound
        if bound is not None and bound.port != address.port:
            self._log.warning("Port %s is taken: the metrics are at port %s", address.port, bound.port)

    def reload(self, config: Config, files: tuple[str, ...], app: str) -> None:
        """Apply another configuration: move the metrics, and start or end the tuner.

        Raises:
            RuntimeError: when that is impossible; nothing has changed then.
        """
        _refuse_tuner_without_metrics(config)
        try:
            self.metrics.move(config.metrics_bind)
        except OSError as error:
            raise RuntimeError(metrics_socket.in_words(config.metrics_bind, error)) from error
        self._wanted = None
        before = self._tuners_view()
        self._follow(config, files, app)
        if before != self._tuners_view():
            self._tuner.restart()

    def ensure(self) -> None:
        """Start what should run and doesn't, and release the metrics' port if the app wants it."""
        self.metrics.give_way_if_asked()
        self._listen_at_last()
        self._probe.ensure()
        if self.metrics.socket is not None:
            self._exporter.ensure()
            if self._config.autotune:
                self._tuner.ensure()

    def reaped(self, pid: int, status: int) -> bool:
        """Return whether the process that ended was one of these; if so, note it."""
        return any(child.reaped(pid, status) for child in (self._probe, self._exporter, self._tuner))

    @contextlib.contextmanager
    def handed_over(self, environment: dict[str, str]) -> Iterator[None]:
        """Pass the metrics' socket to the second master that is forked meanwhile, through its environment."""
        if self.metrics.socket is not None:
            environment[metrics_socket.VARIABLE] = str(self.metrics.socket.fileno())
        try:
            with self.metrics.kept(over_exec=True):
                yield
        finally:
            environment.pop(metrics_socket.VARIABLE, None)

    def stop(self) -> None:
        """End all of them permanently."""
        for child in (self._probe, self._tuner, self._exporter):
            child.stop()
        self.metrics.close()

    def _follow(self, config: Config, files: tuple[str, ...], app: str) -> None:
        _refuse_tuner_without_metrics(config)
        if config.autotune:
            from stablehand_server.autotune import policy  # noqa: PLC0415 (only --autotune pays for it)

            self._policy, pins = policy.from_environment(given(config), class_of(config))
            kept = pins.in_words(policy.VARIABLE)
            if kept is not None:
                self._log.info("%s", kept)
        self._config, self._files, self._app = config, files, app

    def _tuners_view(self) -> tuple[Any, ...]:
        config = self._config
        policy = self._policy if config.autotune else None
        return bool(config.autotune), policy, self._files[-1:], config.autotune_state, self._app, self.metrics.bound

    def _inherited(self, address: Address) -> bool:
        """Adopt the previous master's socket (SIGUSR2), and return whether that succeeded."""
        descriptor = os.environ.pop(metrics_socket.VARIABLE, "")
        if not descriptor.isdecimal() or "GUNICORN_PID" not in os.environ:
            return False
        if not self.metrics.adopt(int(descriptor), address):
            return False
        self._wanted = None
        return True

    def _listen_at_last(self) -> None:
        """Bind the port of the previous master, which handed over no socket."""
        now, address = time.monotonic(), self._wanted
        if address is None or not self._pause.over(now):
            return
        try:
            self.metrics.open(address)
            self._wanted = None
        except OSError as error:
            if not self._pause.failures:
                self._log.error("%s; trying again", metrics_socket.in_words(address, error))
            self._pause.failed(now)

    def _child(self, name: str, main: Callable[[], None], **options: Any) -> ChildProcess:
        def run() -> None:
            self._close_listeners()
            # Not the master's title, which the child inherits: a search for masters would find two.
            set_process_title(f"{name} [{self._config.proc_name}]")
            main()

        return ChildProcess(name, run, self._log, **options)

    def _become_workers_user(self) -> None:
        privileges.drop(self._config)

    def _look_for_classes(self) -> None:
        self._become_workers_user()
        class_probe.probe(self._slots)

    def _fork_with_socket(self) -> int:
        with self.metrics.kept():
            return os.fork()

    def _end_exporter(self) -> None:
        self._exporter.restart()

    def _export(self) -> None:
        if self.metrics.socket is not None:  # as it always is where the exporter is started
            exporter.run(self._slots, self.metrics.socket, self._master, self._become_workers_user)

    def _tune(self) -> None:
        from stablehand_server.autotune import tuning  # noqa: PLC0415 (only --autotune pays for it)

        bound, state = self.metrics.bound, self._config.autotune_state
        if bound is None:  # the tuner is only started where there are metrics
            return
        tuning.run(
            metrics_socket.to_connect_to(bound),
            Path(self._files[-1]),
            Path(state) if state else None,
            self._policy,
            app=self._app,
            parent_pid=self._master,
            become=self._become_workers_user,
        )


def _refuse_tuner_without_metrics(config: Config) -> None:
    if config.autotune and config.metrics_bind is None:
        raise RuntimeError("--autotune reads the server's metrics: give --metrics-bind an address, not none")
