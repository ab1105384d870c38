"""Closes a connection so that the last response arrives."""

from __future__ import annotations

from typing import Any

from stablehand_server.workers.asgi.takeover import Takeover

_LINGER_SECONDS = 2.0


class Closing(Takeover):
    """The part of a connection that closes it."""

    status: int
    transport: Any
    _bridge: Any
    _closed: bool
    _current_request: Any
    _is_ssl: bool
    _outlet: Any  # of the bridged request being served, or None
    _serves_http1: bool

    _hears_no_more = False  # the client has closed its side
    _lingers = False
    _parses = False  # now

    def eof_received(self) -> bool:
        """Tell whether the connection stays open although the client has closed its side.

        To an ASGI app the client has then disconnected, as with gunicorn. A WSGI app is never notified, and a client
        that sends a request and closes its side, as `nc -N` does, gets an answer from every class.
        """
        if self._bridge is None or self._is_ssl or self._lingers or self._current_request is None:
            return False
        self._hears_no_more = True
        if not self._body_receiver._complete:  # noqa: SLF001 (by gunicorn's name)
            self._body_receiver.signal_disconnect()
        return True

    def _close_transport(self) -> None:
        if self._closed or self.transport is None:
            return
        receiver = self._body_receiver
        is_cut_short = receiver is not None and not receiver._complete and not self._hears_no_more  # noqa: SLF001 (as above)
        if self.transport.is_closing():
            self._closed = True
        elif self._websocket is not None or (self._serves_http1 and (is_cut_short or self._parses)):
            self._linger()
        else:
            super()._close_transport()

    def _linger(self) -> None:
        """Close the connection once the client has closed its side, or after a while.

        When a socket with unread data is closed, the kernel sends a reset, which may overtake the response.
        """
        self._closed = self._lingers = True
        if self.transport.can_write_eof():
            try:
                self.transport.write_eof()
            except OSError:  # the client has reset the connection, which the loop has not noticed yet
                self.transport.abort()
                return
        self._resume_reading()
        self.worker.loop.call_later(_LINGER_SECONDS, self.transport.close)

    def _send_error_response(self, status: int, message: str, extra_headers: Any = ()) -> None:
        has_begun = self.status or (self._outlet is not None and self._outlet.has_sent)
        if not (self._parses and has_begun):  # it would be taken for part of the response
            super()._send_error_response(status, message, extra_headers)

    def _feed_callback_parser(self, data: bytes) -> bool:
        self._parses = True
        try:
            return bool(super()._feed_callback_parser(data))
        finally:
            self._parses = False
