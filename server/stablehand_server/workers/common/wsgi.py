"""What gunicorn's own WSGI workers, and classes of others that build on them, have in common here."""

from __future__ import annotations

from typing import Any, ClassVar

from stablehand_server.measure.requests import RequestMeter
from stablehand_server.workers.common.base import MeasuredWorker


class WSGIWorker(MeasuredWorker):
    """A mixin that goes before a class in which gunicorn's `handle_request` calls the app."""

    # Where the request is among what gunicorn passes to `handle_request`: gthread has it first.
    request_position: ClassVar[int] = 1
    # Whether the class is gunicorn's: what apps one of the user's own can serve is its own affair.
    is_gunicorns: ClassVar[bool] = True

    def load_wsgi(self) -> None:
        """Load the app, and get ready to measure its requests."""
        super().load_wsgi()
        if self.is_gunicorns:
            self.refuse_asgi()
        self.meter = RequestMeter(self.recorder(), identified=self.cfg.access_log_json)
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
