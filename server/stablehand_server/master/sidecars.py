"""What runs beside the workers: the exporter, the tuner of --autotune, and a probe of the worker classes."""

from __future__ import annotations

import functools
import os
import socket
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stablehand_server.master import class_probe
from stablehand_server.master.child_process import ChildProcess

if TYPE_CHECKING:
    from collections.abc import Callable

    from gunicorn.config import Config

    from stablehand_server.shared_memory import Slots


def settings_files(config: Config) -> tuple[str, ...]:
    """Return the settings files to watch; --autotune needs one to write, and gets a private one if none is named."""
    files = tuple(config.settings_file)
    if config.autotune and not files:
        return (str(Path(tempfile.mkdtemp(prefix="stablehand-")) / "settings.json"),)
    return files


def beside_workers(
    config: Config,
    log: Any,
    slots: Slots,
    files: tuple[str, ...],
    close_listeners: Callable[[], None],
    *,
    app: str,
    port_is_free: bool = True,
) -> list[ChildProcess]:
    """Return the children to start, none of them started yet.

    `close_listeners` closes what a fork has left open in the child of the server's listeners: a child that kept them
    would hold the port after the master's end. `app` is what the tuner knows the app by. `port_is_free`: the metrics'
    port should be; it is not while another master is being replaced by this one.

    Raises:
        RuntimeError: when the metrics' port is taken, or --autotune has no metrics to go by.
    """

    def child(name: str, main: Callable[[], None], *, supervised: bool = True) -> ChildProcess:
        def without_listeners() -> None:
            close_listeners()
            main()

        return ChildProcess(name, without_listeners, log, supervised=supervised)

    found = [child("probe", functools.partial(class_probe.probe, slots), supervised=False)]
    address = config.metrics_bind
    if address is None:
        if config.autotune:
            raise RuntimeError("--autotune reads the server's metrics: give --metrics-bind an address, not none")
        return found
    if port_is_free:
        _refuse_taken(address)
    found.append(child("exporter", functools.partial(_export, slots, address, os.getpid())))
    if config.autotune:
        found.append(child("tuner", _tuner(config, address, Path(files[-1]), app)))
    return found


def _export(slots: Slots, address: tuple[str, int], parent: int) -> None:
    from stablehand_server.exporter import main as exporter  # noqa: PLC0415 (prometheus-client stays out of the master)

    exporter.run(slots, address, parent)


def _tuner(config: Config, address: tuple[str, int], settings_file: Path, app: str) -> functools.partial[None]:
    from stablehand_server.autotune import policy, tuning  # noqa: PLC0415 (only --autotune pays for them)

    state = Path(config.autotune_state) if config.autotune_state else None
    allowed = policy.from_environment()
    return functools.partial(tuning.run, address, settings_file, state, allowed, app=app, parent_pid=os.getpid())


def _refuse_taken(address: tuple[str, Any]) -> None:
    host, port = address
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise RuntimeError(
                f"the metrics cannot be served at {host}:{port} ({error.strerror}): "
                "choose another address with --metrics-bind, or none"
            ) from error
