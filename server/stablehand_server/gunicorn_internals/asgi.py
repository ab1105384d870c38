"""gunicorn's asgi worker and its protocols: for a process of this class alone, since they load asyncio.

Relied on: `ASGIProtocol` feeds a parser what arrives, which calls back for headers and body, through methods
with a leading underscore, each of which does one step: `_start_http1`, `_feed_callback_parser`, `_build_http_scope`,
`_will_close`, `_send_response_start` and so on. `connection_made` chooses the protocol, and `connection_lost` lets the
app's calls finish within `asgi_disconnect_grace_period`. `PythonProtocol` and `BodyReceiver` have no state beyond their
slots, so that an object of theirs can become one of a subclass. `BodyReceiver.receive` awaits `_wait_for_disconnect`
once the body is complete, and `_wake_waiter` sets the future `_waiter`. `LifespanManager.startup` raises
`LifespanStartupFailed` only where the app itself says that it failed.
"""

from __future__ import annotations

from gunicorn.asgi.lifespan import LifespanManager, LifespanStartupFailed
from gunicorn.asgi.parser import PythonProtocol
from gunicorn.asgi.protocol import _MAX_FINISHING_APP_CALLS as MOST_FINISHING_APP_CALLS
from gunicorn.asgi.protocol import ASGIProtocol, BodyReceiver
from gunicorn.asgi.protocol import _valid_websocket_key as valid_websocket_key
from gunicorn.asgi.websocket import WebSocketProtocol
from gunicorn.http2.negotiation import upgrade_allowed as http2_upgrade_allowed
from gunicorn.workers.gasgi import ASGIWorker

__all__ = [
    "MOST_FINISHING_APP_CALLS",
    "ASGIProtocol",
    "ASGIWorker",
    "BodyReceiver",
    "LifespanManager",
    "LifespanStartupFailed",
    "PythonProtocol",
    "WebSocketProtocol",
    "http2_upgrade_allowed",
    "valid_websocket_key",
]
