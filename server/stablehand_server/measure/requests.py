"""Measure the requests of gunicorn's WSGI workers between the building of the environ and the end of `handle_request`.

The app is not wrapped: `worker.wsgi` is the app itself for all code that looks at it, and what a hook puts in its place
is called and measured.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any

from stablehand_server.gunicorn_internals.serving import (
    builds_its_own_response,
    create,
    current_create,
    is_of_the_connection,
    put_in_place_of_create,
)
from stablehand_server.measure import access_log
from stablehand_server.measure.queueing import seconds_queued
from stablehand_server.measure.wsgi import code_of_status
from stablehand_tuner.contracts.metric_names import STATUS_CODES

if TYPE_CHECKING:
    from types import TracebackType

    from stablehand_server.measure.connection_lifetimes import ConnectionLifetimes
    from stablehand_server.measure.recorder import UnlockedRecorder

_ERROR = STATUS_CODES.index("error")
_TAKEN_OVER = STATUS_CODES.index("1xx")


class RequestMeter:
    """Measures every request that a worker passes through `begin` and `end`.

    Attributes:
        to_close: how many of the next responses send `Connection: close`; infinity for all. Two threads that count at
            the same time close one more, which does no harm.
    """

    def __init__(
        self,
        recorder: UnlockedRecorder,
        *,
        identified: bool,
        response_class: Any = None,
        lifetimes: ConnectionLifetimes | None = None,
    ) -> None:
        """Create a meter.

        Args:
            recorder: records what is measured.
            identified: whether each request gets an id for the access log, which the app finds in its environ.
            response_class: what is built instead of gunicorn's response.
            lifetimes: tells which response is its connection's last, because the connection is old; None: none is.
        """
        self._recorder = recorder
        self._enter = recorder.enter
        self._identified = identified
        self._response_class = response_class
        self._lifetimes = lifetimes
        self._create = create
        self.to_close = 0.0

    def install(self) -> None:
        """Let gunicorn's workers of this process call `create`: a worker's process has one worker.

        It calls what was in that place before, which may be somebody's own: the app's, or a configuration file's.
        """
        found = current_create()
        owner = getattr(found, "__self__", None)
        self._create = owner._create if isinstance(owner, RequestMeter) else found  # noqa: SLF001 (a meter's)
        put_in_place_of_create(self.create)

    def create(  # noqa: PLR0917 (gunicorn's)
        self,
        req: Any,
        sock: Any,
        client: Any,
        server: Any,
        cfg: Any,
        response_class: Any = None,
        response_args: tuple[Any, ...] = (),
    ) -> tuple[Any, dict[str, Any]]:
        """Build response and environ as gunicorn does; the app is called next, so the request is inside it from now.

        The parameters have gunicorn's names: a worker class may pass them by these.
        """
        if response_class is None and self._create is create and builds_its_own_response():
            response_class = self._response_class
        # Somebody's own function may only know the parameters that gunicorn passes.
        others = {} if response_class is None else {"response_class": response_class, "response_args": response_args}
        response, environ = self._create(req, sock, client, server, cfg, **others)
        if self.to_close > 0.0:
            self.to_close -= 1.0
            response.force_close()
        elif self._lifetimes is not None and self._lifetimes.is_over(client):
            response.force_close()
        if self._identified:
            access_log.identify(environ)
        measurement = getattr(req, "stablehand_measurement", None)
        if measurement is not None:
            self._enter(seconds_queued(environ))
            # Behind a Unix socket there is a proxy, which mixes its clients.
            started = monotonic()
            measurement += (started, response, client or started)
        return response, environ

    def begin(self, request: Any) -> list[Any]:
        """Return the measurement of a request, empty until the request is inside the app."""
        measurement: list[Any] = []
        request.stablehand_measurement = measurement
        return measurement

    def end(self, measurement: list[Any], served: Any) -> None:
        """Record that a request is over; `served` is what `handle_request` has returned or raised."""
        if measurement:
            started, response, client = measurement
            if response.status is None or isinstance(served, BaseException):
                code = _code_of_unusual(served, response)
            else:
                code = code_of_status(response.status)
            # A file that the kernel sends is not counted as sent: it is as long as announced.
            size = getattr(response, "sent", 0) or getattr(response, "response_length", 0) or 0
            self._recorder.leave(monotonic() - started, code, size, client)


def _code_of_unusual(served: Any, response: Any) -> int:
    """Return the code, for a recorder, of a request whose `handle_request` raised, or that has no status.

    gunicorn raises StopIteration where the connection closes after a complete response, and also, while it handles the
    app's own exception, where a response that has begun cannot be completed. An app raises it before it has started a
    response, or returns a marker at which gunicorn returns False, when it has taken over the connection: websockets do.
    """
    if served is False or (isinstance(served, StopIteration) and served.__context__ is None):
        return _TAKEN_OVER if response.status is None else code_of_status(response.status)
    if isinstance(served, OSError) and _came_from_the_connection(served.__traceback__):
        return code_of_status(response.status)  # the client disconnected, which is not a failure of the app
    return _ERROR


def _came_from_the_connection(traceback: TracebackType | None) -> bool:
    """Return whether an OSError was raised while gunicorn sent to the client or read from it, not by the app itself."""
    while traceback is not None:
        owner = traceback.tb_frame.f_locals.get("self")
        if is_of_the_connection(owner):
            return True
        traceback = traceback.tb_next
    return False
