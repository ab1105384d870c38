"""What a connection of the asgi class sees of its worker."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import math
import sys
import types
from typing import TYPE_CHECKING, Any

import pytest
from gunicorn.asgi.parser import PythonProtocol
from gunicorn.asgi.protocol import ASGIProtocol
from gunicorn.config import Config
from gunicorn.glogging import Logger

from stablehand_server.measure.asgi import InstrumentedASGIApp
from stablehand_server.measure.recorder import UnlockedRecorder
from stablehand_server.shared_memory import Cell, Slots
from stablehand_server.workers.asgi.protocol import Connection
from stablehand_server.workers.common.base import FIRST_REQUEST_SECONDS
from stablehand_tuner.contracts.metric_names import STATUS_CODES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


_BYTES_KEPT_IN_C = 65536


class Worker:
    """What a connection sees of its worker."""

    max_requests = sys.maxsize

    def __init__(self, app: Callable[..., Any], **settings: Any) -> None:
        self.cfg = Config()
        for name, value in settings.items():
            self.cfg.set(name, value)
        self.log = Logger(self.cfg)
        self.loop = asyncio.get_running_loop()
        self.context = contextvars.copy_context()
        self.cells = Slots().allocate(index=0, age=1, worker_class=0, slots=1).cells
        self.http1_recorder = UnlockedRecorder(self.cells)
        self.http1_app = app
        self.asgi = app
        self.measured_app = InstrumentedASGIApp(app, self.http1_recorder)
        self.bridge = None
        self.state: dict[str, Any] = {}
        self.nr = self.nr_conns = 0
        self.alive = True
        self.retiring = False
        self.connections: set[Connection] = set()

    def first_request_seconds(self) -> float:
        """Return as long as a worker with many connections."""
        return FIRST_REQUEST_SECONDS

    def connection_end(self) -> float:
        """Return that a connection lasts for as long as it likes."""
        return math.inf

    def is_last_response(self) -> bool:
        """Say so of every response while the worker retires."""
        return self.retiring

    def connection(self) -> Connection:
        """Return a connection that is not made yet."""
        return Connection(self)

    def connection_ended(self, connection: Connection) -> None:
        """Forget it."""
        self.connections.discard(connection)

    @property
    def busy(self) -> float:
        """Requests inside the app."""
        return self.cells[Cell.BUSY]

    @property
    def finished(self) -> dict[str, float]:
        """Finished requests by class of status, without the zeros."""
        counts = zip(STATUS_CODES, self.cells[Cell.REQUESTS : Cell.REQUESTS + len(STATUS_CODES)], strict=True)
        return {code: count for code, count in counts if count}


class ParserInC(PythonProtocol):
    """Stands in for gunicorn_h1c's parser: behind the end of a request it keeps 64 KiB, and loses what is more."""

    __slots__ = ("remaining_truncated",)

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.remaining_truncated = False

    def feed(self, data: bytes) -> None:
        """Parse."""
        super().feed(data)
        if self.is_complete and len(self._buffer) > _BYTES_KEPT_IN_C:
            del self._buffer[_BYTES_KEPT_IN_C:]
            self.remaining_truncated = True

    def reset(self) -> None:
        """Begin anew."""
        super().reset()
        self.remaining_truncated = False


@contextlib.contextmanager
def parser_in_c() -> Iterator[None]:
    """Let gunicorn find a module gunicorn_h1c, for the first time."""
    module: Any = types.ModuleType("gunicorn_h1c")
    module.H1CProtocol = ParserInC
    for name in ("LimitRequestLine", "LimitRequestHeaders", "InvalidChunkExtension", "ParseError"):
        setattr(module, name, type(name, (Exception,), {}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "gunicorn_h1c", module)
        for name, value in vars(ASGIProtocol).copy().items():
            if name.startswith("_h1c_"):
                patch.setattr(ASGIProtocol, name, value)  # so that it is what it was afterwards
        patch.setattr(ASGIProtocol, "_h1c_available", None)
        yield


@pytest.fixture(scope="session")
def parsers() -> dict[str, Callable[[], contextlib.AbstractContextManager[None]]]:
    """Give for each value of http_parser what must be entered for it."""
    return {"python": contextlib.nullcontext, "fast": parser_in_c, "auto": parser_in_c}


@pytest.fixture(scope="session")
def worker_for() -> type[Worker]:
    """Make a worker for an app, within a running loop; with gunicorn's settings by name."""
    return Worker
