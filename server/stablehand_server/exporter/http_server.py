"""/metrics, /readyz and /healthz over HTTP."""

from __future__ import annotations

import gzip
import socket
import sys
import threading
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from stablehand_server.exporter.collector import unready
from stablehand_server.exporter.negotiation import format_for, gzip_wanted
from stablehand_server.exporter.reading import MappingBusy

if TYPE_CHECKING:
    from collections.abc import Callable

    from prometheus_client.registry import Collector

    from stablehand_server.shared_memory import Slots

_MOST_CONNECTIONS = 32
_PATIENCE_SECONDS = 5.0
_PAUSE_SECONDS = 0.1
_TEXT = "text/plain; charset=utf-8"


class MetricsServer(ThreadingHTTPServer):
    """A thread for each connection, up to a limit, beyond which the oldest connection is closed.

    So a client that sends nothing, or reads nothing, never delays a probe.

    Args:
        listener: a listening socket; it is closed with the server.
        slots: the shared mapping.
        collector: provides the metrics.
    """

    daemon_threads = True

    def __init__(self, listener: socket.socket, slots: Slots, collector: Collector) -> None:
        self.slots = slots
        self.collector = collector
        self._open: dict[socket.socket, None] = {}  # in the order in which they were accepted
        self._lock = threading.Lock()
        self._closed = threading.Condition(self._lock)
        listener.setblocking(False)  # another exporter may accept from the same socket, and be faster
        address = listener.getsockname()
        super().__init__(address[:2], _Handler, bind_and_activate=False)
        self.socket.close()  # the base class has made one of its own
        self.socket = listener
        self.server_name, self.server_port = address[:2]

    def accept_waiting(self) -> None:
        """Accept the connections that wait, as many as may be open at once."""
        for _ in range(_MOST_CONNECTIONS):
            try:
                request, client_address = self.get_request()
            except (BlockingIOError, ConnectionAbortedError):
                return  # another exporter was faster, or the client has disconnected
            except OSError:  # no descriptor is left: the connection waits, and must not be looked for all the time
                time.sleep(_PAUSE_SECONDS)
                return
            self.process_request(request, client_address)

    def await_answers(self, seconds: float) -> None:
        """Wait until every accepted connection is answered, at most so many seconds."""
        with self._lock:
            self._closed.wait_for(lambda: not self._open, seconds)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Handle a connection in a thread of its own, or in this one if no other can be started."""
        with self._lock:
            self._open[request] = None
            if len(self._open) > _MOST_CONNECTIONS:
                oldest = next(iter(self._open))
                del self._open[oldest]
                _hang_up(oldest)
        try:
            super().process_request(request, client_address)
        except RuntimeError:  # the limit on processes: no reason for a probe to fail
            self.process_request_thread(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Close a connection that was handled."""
        super().shutdown_request(request)
        with self._lock:
            self._open.pop(request, None)
            self._closed.notify_all()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore a client that disconnected early; any other error is a defect, and is printed."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: MetricsServer
    timeout = _PATIENCE_SECONDS
    server_version = "stablehand-server"
    sys_version = ""

    def do_GET(self) -> None:
        """Answer one request."""
        answer = _ANSWERS.get(self.path.partition("?")[0])
        if answer is None:
            known = ", ".join(_ANSWERS)
            self._send(HTTPStatus.NOT_FOUND, f"no such path; known are {known}\n".encode())
            return
        answer(self)

    def do_HEAD(self) -> None:
        """Answer as to GET, without the body."""
        self.do_GET()

    def metrics(self) -> None:
        """Send the metrics, in the format that the client asks for."""
        encode, content_type = format_for(self._header("Accept"))
        try:
            body = encode(self.server.collector)
        except MappingBusy as error:
            self._send(HTTPStatus.SERVICE_UNAVAILABLE, f"{error}\n".encode())
            return
        headers = {"Vary": "Accept, Accept-Encoding"}
        if gzip_wanted(self._header("Accept-Encoding")):
            body = gzip.compress(body, compresslevel=1)
            headers["Content-Encoding"] = "gzip"
        self._send(HTTPStatus.OK, body, content_type, headers)

    def readiness(self) -> None:
        """Answer whether the server should get requests."""
        reason = unready(self.server.slots)
        status = HTTPStatus.OK if reason is None else HTTPStatus.SERVICE_UNAVAILABLE
        self._send(status, f"{reason or 'ready'}\n".encode())

    def health(self) -> None:
        """Answer that the server is alive: this process runs only as long as the master does."""
        self._send(HTTPStatus.OK, b"ok\n")

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (the base class names it so)
        """Log no requests: probes and scrapes would fill the log."""

    def _send(
        self, status: HTTPStatus, body: bytes, content_type: str = _TEXT, headers: dict[str, str] | None = None
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _header(self, name: str) -> str:
        return ", ".join(self.headers.get_all(name, []))


_ANSWERS: dict[str, Callable[[_Handler], None]] = {
    "/metrics": _Handler.metrics,
    "/readyz": _Handler.readiness,
    "/healthz": _Handler.health,
}


def _hang_up(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # the client was faster
