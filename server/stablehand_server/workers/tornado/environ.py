"""The WSGI environ of a request that Tornado has read, as gunicorn's other classes build it.

Tornado's own supports neither SCRIPT_NAME nor a trusted proxy's scheme, and treats a header with an underscore as one
with a dash.
"""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Any

from stablehand_server.gunicorn_internals.serving import HeaderPolicy, create, split_request_uri

if TYPE_CHECKING:
    from tornado.httputil import HTTPServerRequest

    from stablehand_server.gunicorn_internals.settings import Config

_VERSION = re.compile(r"HTTP/(\d)\.(\d)")
_NOWHERE = ("", 0)


class _Request(HeaderPolicy):
    """The attributes of a request that gunicorn's code uses."""

    _policy_expect_continue = False  # Tornado has told the client to continue
    proxy_protocol_info = None

    def __init__(self, request: HTTPServerRequest, config: Config, peer: Any) -> None:
        self.cfg = config
        self.peer_addr = peer
        self.method = request.method
        self.uri = request.uri or ""
        parts = split_request_uri(self.uri)
        self.path, self.query = parts.path or "", parts.query or ""
        found = _VERSION.fullmatch(request.version)
        self.version = (int(found[1]), int(found[2])) if found else (1, 1)
        self.scheme = request.protocol
        self.body = io.BytesIO(request.body)
        self.headers = list(self._permitted(request))

    def _permitted(self, request: HTTPServerRequest) -> Any:
        scheme_headers, forwarder_headers = self._peer_trusted_for_forwarded()
        scheme_state, seen = [False], set[str]()
        for name, value in request.headers.get_all():
            pair = self._apply_header_policy(name.upper(), value, scheme_state, seen, scheme_headers, forwarder_headers)
            if pair is not None:
                yield pair


def environ_of(request: HTTPServerRequest, config: Config) -> dict[str, Any]:
    """Return the environ of a request.

    Raises:
        ParseException: when the headers contradict each other or the configuration.
    """
    connection: Any = request.connection
    client = getattr(connection.stream, "socket", None)
    peer = connection.context.address
    _, environ = create(
        _Request(request, config, peer),
        client,
        peer if peer is not None else "",
        _NOWHERE if client is None else client.getsockname(),
        config,
    )
    del environ["wsgi.early_hints"]  # they would bypass Tornado and use the socket
    if request.body:
        environ["CONTENT_LENGTH"] = str(len(request.body))  # a chunked body has arrived without one
    return dict(environ)
