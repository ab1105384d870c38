"""What a connection does in the loop for the thread of a WSGI app."""

from __future__ import annotations

from typing import Any

from stablehand_server.workers.asgi.closing import Closing


class Bridging(Closing):
    """A connection, as used by the thread's `Outlet` and its exchange."""

    cfg: Any
    transport: Any
    req_count: int
    _is_handed_over: bool
    _holds_back = False
    _max_buffer_size: int
    _reading_paused: bool

    @property
    def request(self) -> Any:
        """The request being served, as parsed."""
        return self._current_request

    @property
    def is_tls(self) -> bool:
        """Whether the client uses TLS."""
        return self._is_ssl

    @property
    def is_reading_paused(self) -> bool:
        """Whether too much data waits to be read by the app."""
        return self._reading_paused

    @property
    def half_full(self) -> int:
        """How many bytes may still wait when reading resumes."""
        return self._max_buffer_size // 2

    @property
    def is_write_paused(self) -> bool:
        """Whether more data waits for the client than the limit allows."""
        return bool(self._flow_control.write_paused)

    @property
    def has_unsent(self) -> bool:
        """Whether the client has not yet taken all that it was sent."""
        return self.transport is not None and self.transport.get_write_buffer_size() > 0

    def resume_if_not_full(self) -> None:
        """Resume reading, unless the app still has much to read."""
        if not self._closed and not self._is_handed_over:
            self._maybe_resume_reading()

    def _maybe_resume_reading(self) -> None:
        if not self._holds_back:
            super()._maybe_resume_reading()

    def write_pieces(self, pieces: list[Any]) -> None:
        """Write to the client, unless it has disconnected."""
        if not self._closed:
            self._safe_write(pieces[0] if len(pieces) == 1 else b"".join(pieces))

    def resume_writing(self) -> None:
        """Let the app continue."""
        super().resume_writing()
        if self._outlet is not None:
            self._outlet.written()

    def hang_up(self) -> None:
        """End the connection, whatever its state."""
        if self._outlet is not None:
            self._outlet.hang_up()
        self.transport.abort()

    def hold_back(self) -> None:
        """Read nothing until the app has answered: what follows an upgrade may be meant for the app."""
        self._holds_back = True
        self._pause_reading()

    def hand_over(self) -> None:
        """Stop reading from the socket, which the app now does itself; the connection closes after its request."""
        self._is_handed_over = True
        self._pause_reading()
