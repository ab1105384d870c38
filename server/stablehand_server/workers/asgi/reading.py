"""Reads what a client sends, in order: requests one after the other, and what arrives after the one being served.

In any other order, part of a body would be taken for a request.
"""

from __future__ import annotations

from typing import Any

from stablehand_server.gunicorn_internals.asgi import ASGIProtocol, http2_upgrade_allowed
from stablehand_server.workers.asgi.bridging import Bridging
from stablehand_server.workers.asgi.parser import RequestParser
from stablehand_server.workers.common.patience import Patience

_BYTES_BEHIND_IN_C = 65536  # that gunicorn_h1c keeps after the end of a request; it loses anything beyond


class Reading(Patience, Bridging):
    """The part of a connection that reads."""

    _ending: bool  # it closes once no call of the app is left

    def __init__(self) -> None:
        super().__init__()
        self._behind = bytearray()  # what has arrived after the request being served
        self._has_begun = False  # a request, whose headers are not complete

    def _set_up_parser(self, peername: Any) -> None:
        self._setup_callback_parser()
        RequestParser.adopt(self._callback_parser)
        can_upgrade = hasattr(self._callback_parser, "remaining")  # gunicorn's rule: old parsers lose what follows
        self._h2c_upgrade_ok = can_upgrade and http2_upgrade_allowed(self.cfg, peername)

    @classmethod
    def _check_h1c_protocol_available(cls) -> bool:
        """Look for the C parser once, and store the result where gunicorn reads it: on its class, not on this one."""
        return bool(ASGIProtocol._check_h1c_protocol_available())  # noqa: SLF001 (gunicorn's own class method)

    def data_received(self, data: bytes) -> None:
        """Parse what has arrived; a request is served as soon as its headers are complete.

        What arrives after the end of a request waits until that is answered, and is parsed after all that arrived
        before it: in any other order, part of a body would be taken for a request.
        """
        if self._lingers:
            return
        if not self._serves_http1:
            super().data_received(data)
        elif self._behind or (self._current_request is not None and self._callback_parser.is_complete):
            self._behind += data
            self._pause_if_full()
        else:
            self._parse(data)

    def _parse(self, data: bytes) -> None:
        parser = self._callback_parser
        if parser.__class__ is RequestParser or len(data) <= _BYTES_BEHIND_IN_C:
            if not self._feed_callback_parser(data):
                self._serves_http1 = False
        else:
            self._parse_in_pieces(data)
        if self._current_request is not None:
            self._pause_if_full()
        elif self._serves_http1:
            self._has_begun = True
            if self.idle:
                self.await_headers()

    def _parse_in_pieces(self, data: bytes) -> None:
        """Feed the C parser no more at once than it keeps after the end of a request."""
        parser = self._callback_parser
        for place in range(0, len(data), _BYTES_BEHIND_IN_C):
            if parser.is_complete:
                self._behind += data[place:]
                return
            if not self._feed_callback_parser(data[place : place + _BYTES_BEHIND_IN_C]):
                self._serves_http1 = False
                rest = data[place + _BYTES_BEHIND_IN_C :]
                if rest and not self._closed:  # HTTP/2 has taken over
                    super().data_received(rest)
                return

    def _pause_if_full(self) -> None:
        if not self._reading_paused and self._http1_buffered() > self._max_buffer_size:
            self._pause_reading()

    def _http1_buffered(self) -> int:
        receiver, parser = self._body_receiver, self._callback_parser
        held: int = receiver.buffered if receiver is not None else 0
        if parser.__class__ is RequestParser and parser.is_complete:
            held += len(parser._buffer)  # noqa: SLF001 (pipelined requests; the C parser has its own limit)
        return held + len(self._behind)

    def _read_next(self) -> None:
        parser = self._callback_parser
        if parser is None or getattr(parser, "remaining_truncated", False):
            self._ending = True  # what was cut off cannot be served
            return
        self._behind[:0] = parser.remaining()
        parser.reset()
        self._current_request = None
        self._body_receiver = None
        self._has_begun = False
        self.status = 0
        if self._hears_no_more and not self._behind:
            self._ending = True
        elif self._behind:  # not from within the app's call
            self.worker.loop.call_soon(self._parse_what_waited)
        else:
            self._resume_reading()

    def _leave_http1(self) -> bytes:
        parser, self._callback_parser = self._callback_parser, None
        self._serves_http1 = False
        behind = parser.remaining() + bytes(self._behind)
        self._behind.clear()
        return bytes(behind)

    def _parse_what_waited(self) -> None:
        if self._closed:
            return
        waited = bytes(self._behind)
        self._behind.clear()
        self._parse(waited)
        self._maybe_resume_reading()
