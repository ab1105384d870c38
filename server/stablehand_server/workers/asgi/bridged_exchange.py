"""One HTTP/1 request for a WSGI app, from the connection's side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stablehand_server.gunicorn_internals.serving import Body
from stablehand_server.workers.asgi.bridge import Call
from stablehand_server.workers.asgi.bridged_body import FedBody
from stablehand_server.workers.asgi.bridged_request import BridgedRequest
from stablehand_server.workers.asgi.outlet import Outlet

if TYPE_CHECKING:
    from stablehand_server.workers.asgi.bridge import Bridge
    from stablehand_server.workers.asgi.protocol import Connection


class BridgedExchange:
    """Passes a request to the bridge; its thread reads from `receiver` and writes to `outlet`."""

    task: Any = None  # it runs in a thread
    task_is_finishing = False  # the next request is read when the app has returned

    def __init__(self, connection: Connection, bridge: Bridge) -> None:
        loop = connection.worker.loop
        self._connection = connection
        self._bridge = bridge
        self.outlet = Outlet(connection, loop)

        def taken(left: int) -> None:
            if connection.is_reading_paused and left <= connection.half_full:
                loop.call_soon_threadsafe(connection.resume_if_not_full)

        self.receiver = FedBody(chunked=connection.request.chunked, on_taken=taken)

    def begin(self, came: Any, client: Any, server: Any, proxy: dict[str, Any] | None) -> None:
        """Have the request served; `came` is the request as parsed by the connection's parser."""
        connection = self._connection
        number = connection.req_count

        def make_request() -> BridgedRequest:
            return BridgedRequest(
                connection.cfg,
                method=came.method,
                uri=came.uri,
                version=came.version,
                scheme="https" if connection.is_tls else "http",
                peer=client,
                headers=came.headers,
                body=Body(self.receiver),
                number=number,
                proxy=proxy,
            )

        self._bridge.serve(
            Call(
                make_request=make_request,
                outlet=self.outlet,
                client=client,
                server=server,
                is_last=connection.is_last_response(),
                ended=self._ended,
                hang_up=connection.hang_up,
            )
        )

    def _ended(self, keep: bool) -> None:  # noqa: FBT001 (a callback)
        self.outlet.close()
        self._connection.worker.nr += 1
        self._connection.exchange_ended(self, keep)
