"""The websockets of a Tornado application, which its HTTP server no longer tracks once they are open."""

from __future__ import annotations

from typing import Any

from tornado.websocket import WebSocketHandler

_SERVICE_RESTART = 1012  # from the registry of close codes (RFC 6455, section 11.7): clients reconnect


class WebSockets:
    """The open ones: connections like all others, except that they end with a close frame."""

    def __init__(self) -> None:
        self._protocols: set[Any] = set()

    def watch(self) -> None:
        """Track each websocket from now on; call this once per process."""
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
        """Forget those whose connection has ended."""
        for protocol in tuple(self._protocols):
            stream = protocol.handler.request.connection.stream if protocol.stream is None else protocol.stream
            if stream is None or stream.closed():
                self._protocols.discard(protocol)

    def close(self) -> None:
        """Send every client a close frame that tells it to reconnect."""
        for protocol in tuple(self._protocols):
            if protocol.stream is not None:
                protocol.handler.close(_SERVICE_RESTART, "the server restarts")
