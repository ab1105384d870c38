"""What gunicorn's own WSGI workers, and third-party classes based on them, have in common here."""

from __future__ import annotations

from typing import Any, ClassVar

from stablehand_server.measure.connection_lifetimes import ConnectionLifetimes
from stablehand_server.measure.requests import RequestMeter
from stablehand_server.workers.common.base import MeasuredWorker
from stablehand_server.workers.common.joined_response import Response


class WSGIWorker(MeasuredWorker):
    """A mixin for a class in which gunicorn's `handle_request` calls the app."""

    # Where the request is among what gunicorn passes to `handle_request`: gthread has it first.
    request_position: ClassVar[int] = 1
    # Whether the class is gunicorn's: which apps a custom class can serve is unknown.
    is_gunicorns: ClassVar[bool] = True
    # Whether a connection may have another request.
    keeps_connections: ClassVar[bool] = True

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """Answer as gunicorn does, but not in a process that the app has forked.

        Its worker answers the request; the client would take another answer for that to his next one.
        """
        if self.is_apps_child and self.keeps_connections:
            self.log.error("A process that the app has forked failed", exc_info=exc)
        else:
            super().handle_error(req, client, addr, exc)

    def load_wsgi(self) -> None:
        """Load the app, and prepare to measure its requests."""
        super().load_wsgi()
        if self.is_gunicorns:
            self.refuse_asgi()
        identified = self.cfg.access_log_json
        lifetimes = ConnectionLifetimes.of(self.cfg.connection_lifetime)
        self.meter = RequestMeter(self.recorder(), identified=identified, response_class=Response, lifetimes=lifetimes)
        self.meter.install()

    def handle_request(self, *arguments: Any, **named: Any) -> Any:
        """Serve one request as gunicorn does, and measure it."""
        meter = self.meter
        if meter is None:  # outside of a worker's process
            return super().handle_request(*arguments, **named)
        measurement = meter.begin(named["req"] if named else arguments[self.request_position])
        try:
            served = super().handle_request(*arguments, **named)
        except BaseException as error:
            meter.end(measurement, error)
            raise
        meter.end(measurement, served)
        return served

    def handle_http2_request(self, *arguments: Any, **named: Any) -> Any:
        """Serve one stream of HTTP/2 as gunicorn does, and measure it."""
        meter = self.meter
        if meter is None:
            return super().handle_http2_request(*arguments, **named)
        measurement = meter.begin(named["req"] if named else arguments[self.request_position])
        try:
            served = super().handle_http2_request(*arguments, **named)
        except BaseException as error:
            meter.end(measurement, error)
            raise
        meter.end(measurement, served)
        return served
