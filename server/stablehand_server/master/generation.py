"""Settings or a configuration → a generation that could run, tried on a scratch configuration first.

Nothing here affects the workers that serve: an error found here has no consequences.
"""

from __future__ import annotations

import copy
import dataclasses
from typing import TYPE_CHECKING, Any

from stablehand_server.config import class_options, fast_parser
from stablehand_server.gunicorn_internals.settings import Config
from stablehand_server.shared_memory import INDEXES
from stablehand_server.workers import class_of, implementation
from stablehand_server.workers.common.wsgi import WSGIWorker
from stablehand_tuner.contracts.settings import InvalidSettings, Settings, WorkerClass

if TYPE_CHECKING:
    from collections.abc import Callable

# Which settings besides their number the processes of a class make use of; asgi's threads run a WSGI app.
_USED = {
    WorkerClass.SYNC: (),
    WorkerClass.GTHREAD: ("threads", "worker_connections"),
    WorkerClass.GEVENT: ("worker_connections",),
    WorkerClass.EVENTLET: ("worker_connections",),
    WorkerClass.TORNADO: ("worker_connections",),
    WorkerClass.ASGI: ("threads", "worker_connections"),
}


class Unusable(ValueError):  # noqa: N818 (a reader meets it in a sentence: "unusable: ...")
    """A configuration that this server cannot run; its text is one sentence for the user."""


@dataclasses.dataclass(frozen=True)
class Generation:
    """What the workers of one configuration have in common.

    `base` is the configuration before the settings were applied to it; `settings` is None if gunicorn's flags select a
    custom worker class, or numbers outside the contract (such as no workers); `origin` says where it comes from.
    """

    number: int
    base: Config
    config: Config
    worker_class: type[Any]
    workers: int
    settings: Settings | None
    origin: str

    def __str__(self) -> str:
        """Describe what runs, for the log."""
        return str(self.settings) if self.settings else f"{self.config.worker_class_str} {self.workers}"

    def with_workers(self, workers: int) -> Generation:
        """Return the same generation with another number of workers: a change that needs no new process."""
        config = copied(self.config)
        config.set("workers", workers)
        return dataclasses.replace(self, config=config, workers=workers, settings=settings_of(config))

    def holds_at_most(self, settings: Settings) -> bool:
        """Return whether this generation has no more of anything that its class uses than the settings ask for."""
        used = _USED[settings.worker_class]
        return all(getattr(self.config, name) <= getattr(settings, name) for name in used)

    def runs_in_place(self, settings: Settings) -> bool:
        """Return whether the processes of this generation could serve under the settings.

        They can if only their number differs, or settings that the class changes while it serves.
        """
        if self.settings is None or self.settings.worker_class is not settings.worker_class:
            return False
        return all(
            getattr(self.settings, name) == getattr(settings, name) or name in self.worker_class.changes_in_place
            for name in _USED[settings.worker_class]
        )


def from_configuration(base: Config, number: int, log: Any) -> Generation:
    """Return the generation of gunicorn's own flags, environment and configuration file.

    Raises:
        Unusable: when its worker class cannot run, or it asks for more workers than can be measured.
    """
    if base.workers > INDEXES:
        raise Unusable(f"workers is {base.workers}, but must be at most {INDEXES}")
    named = class_of(base)
    if named is not None and (fault := class_options.refusal(named, base)) is not None:
        log.warning("As under gunicorn, %s", fault)
    return Generation(
        number=number,
        base=base,
        config=base,
        worker_class=_usable(lambda: implementation(base), base, log),
        workers=base.workers,
        settings=settings_of(base),
        origin="flags and configuration",
    )


def from_settings(base: Config, settings: Settings, number: int, origin: str, log: Any) -> Generation:
    """Return the generation of a settings file's content, applied to the configuration.

    Raises:
        Unusable: when the worker class cannot run here, or would not honour what the configuration uses.
    """
    named = class_of(base)
    fault = None if settings.worker_class is named else class_options.refusal(settings.worker_class, base)
    if fault is not None:
        raise Unusable(fault)
    config = copied(base)
    config.set("worker_class", settings.worker_class.value)
    config.set("workers", settings.workers)
    config.set("threads", settings.threads)
    config.set("worker_connections", settings.worker_connections)
    worker_class = _usable(lambda: implementation(config), config, log)
    return Generation(number, base, config, worker_class, settings.workers, settings, origin)


def settings_of(config: Config) -> Settings | None:
    """Return a configuration's settings in terms of the contract, or None if it cannot express them."""
    worker_class = class_of(config)
    if worker_class is None:
        return None
    try:
        return Settings(worker_class, config.workers, config.threads, config.worker_connections)
    except InvalidSettings:
        return None


def copied(config: Config) -> Config:
    """Return a configuration that can be changed without changing the original."""
    twin = Config.__new__(Config)
    twin.__dict__.update(config.__dict__)
    twin.settings = {name: copy.copy(setting) for name, setting in config.settings.items()}
    return twin


def fault_in_words(error: BaseException) -> str:
    """Return why a configuration could not be loaded."""
    if isinstance(error, SystemExit):
        # gunicorn prints the error and exits: the exit itself is only a number.
        if error.__context__ is not None:
            return fault_in_words(error.__context__)
        return f"it ends the process by SystemExit({error.code!r})"
    return str(error) or type(error).__name__


def _usable(load: Callable[[], type[Any]], config: Config, log: Any) -> type[Any]:
    try:
        worker_class = load()
        if hasattr(worker_class, "check_config"):
            worker_class.check_config(config, log)
    except (Exception, SystemExit) as error:
        raise Unusable(f"workerClass {config.worker_class_str} cannot be used: {_last_line(error)}") from error
    named = class_of(config)
    if (named or issubclass(worker_class, WSGIWorker)) and (fault := fast_parser.fault(config, named)) is not None:
        raise Unusable(fault)
    return worker_class


def _last_line(error: BaseException) -> str:
    # gunicorn puts a whole traceback, in brackets, into the text of what it raises.
    lines = [line.strip(" []") for line in str(error).splitlines()]
    return next((line for line in reversed(lines) if line), type(error).__name__)
