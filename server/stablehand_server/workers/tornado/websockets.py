"""The websockets of an application of Tornado's own, which its HTTP server knows nothing of once they are open."""

from __future__ import annotations

from typing import Any

from tornado.websocket import WebSocketHandler

_SERVICE_RESTART = 1012  # of the registry of close codes (RFC 6455, section 11.7): clients connect anew


class WebSockets:
    """Those that are open: connections like all others, but that end by a close frame."""

    def __init__(self) -> None:
        self._protocols: set[Any] = set()

    def watch(self) -> None:
        """Note each websocket from now on; once in a process."""
        protocol_of = WebSocketHandler.get_websocket_protocol

        def noting(handler: WebSocketHandler) -> Any:
            protocol = protocol_of(handler)
            if protocol is not None:
                self._protocols.add(protocol)
            return protocol

        setattr(WebSocketHandler, "get_websocket_protocol", noting)  # noqa: B010 (Tornado has no hook for it)

    def __len__(self) -> int:
        """Return how many there are, as of the last call of `forget_closed`."""
        return len(self._protocols)

    def forget_closed(self) -> None:
        """Forget those whose connection has come to its end."""
        for protocol in tuple(self._protocols):
            stream = protocol.handler.request.connection.stream if protocol.stream is None else protocol.stream
            if stream is None or stream.closed():
                self._protocols.discard(protocol)

    def close(self) -> None:
        """Send every client a close frame that tells it to connect anew."""
        for protocol in tuple(self._protocols):
            if protocol.stream is not None:
                protocol.handler.close(_SERVICE_RESTART, "the server restarts")
