"""Our workers as gunicorn's unit tests use them: made without an arbiter, never run, with mocks for futures."""

from __future__ import annotations

from typing import Any
from unittest import mock

from suite_arbiter import assignment

from stablehand_server.workers.lingering import LingeringCloses


def placed(worker_class: type[Any]) -> type[Any]:
    """Return a worker class of ours that finds a place by itself; elsewhere the arbiter gives it one."""

    class Placed(worker_class):  # type: ignore[misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **{"assignment": assignment(), **kwargs})

        def __getattr__(self, name: str) -> Any:
            if name != "_lingering":  # there from run() on
                raise AttributeError(name)
            self._lingering = LingeringCloses(self.poller, self._forget_connection)
            return self._lingering

        def finish_request(self, connection: Any, result: Any) -> None:
            if isinstance(result, mock.Mock):  # a real future has an exception if, and only if, its result() raises
                result.exception.return_value = result.result.side_effect
            super().finish_request(connection, result)

    Placed.__name__ = Placed.__qualname__ = worker_class.__name__
    return Placed
