"""One HTTP/1 request and its response, measured without a wrapper around the app or its `send`."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any

from stablehand_server.measure.asgi import CLIENT_CLOSED_REQUEST, code_of, seconds_queued

if TYPE_CHECKING:
    import asyncio

    from stablehand_server.measure.recorder import UnlockedRecorder
    from stablehand_server.workers.asgi.protocol import Connection


class Exchange:
    """A request that is being served.

    Replaces gunicorn's future for whether the connection is kept: `set_result` is called once, by the app's last
    `send`. `recorder` is None if the app measures itself.
    """

    __slots__ = ("_client", "_connection", "_recorder", "_started", "receiver", "task", "task_is_finishing")

    task: asyncio.Task[None]  # in which it is served

    def __init__(self, connection: Connection, receiver: Any, recorder: UnlockedRecorder | None) -> None:
        self._connection = connection
        self._recorder = recorder
        self.receiver = receiver
        self.task_is_finishing = False  # the response is complete, and the next request is already being read

    async def serve(self, request: Any, sockname: Any, peername: Any) -> None:
        """Call the app; whatever it does, the exchange ends, and is counted once."""
        connection = self._connection
        keep_alive = False
        self._started = started = monotonic()
        self._client = peername or started  # behind a Unix socket there is a proxy, which mixes its clients
        if self._recorder is not None:
            self._recorder.enter(seconds_queued(request.headers_bytes, connection.client))
        try:
            keep_alive = await connection._handle_http_request(request, sockname, peername, self)  # noqa: SLF001
        finally:
            self._record(CLIENT_CLOSED_REQUEST if connection._closed else 0)  # noqa: SLF001 (without a whole response)
            if not self.task_is_finishing:
                connection.worker.nr += 1
            connection.exchange_ended(self, keep_alive)

    def done(self) -> bool:
        """Return that the result is still awaited."""
        return False

    def set_result(self, keep_alive: bool) -> None:  # noqa: FBT001 (as of a future)
        """Record the end of the response, and continue with the connection if it is kept."""
        connection = self._connection
        self._record(connection.status)
        if connection.response_complete(self, keep_alive):
            self.task_is_finishing = True
            connection.worker.nr += 1

    def _record(self, status: int) -> None:
        recorder, self._recorder = self._recorder, None  # once
        if recorder is not None:
            recorder.leave(monotonic() - self._started, code_of(status), client=self._client)
