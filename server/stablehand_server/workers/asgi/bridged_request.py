"""A request that the asgi class has parsed, in the form that gunicorn's WSGI workers use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stablehand_server.gunicorn_internals.serving import InvalidRequestLine, Request, split_request_uri

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stablehand_server.gunicorn_internals.serving import Body
    from stablehand_server.gunicorn_internals.settings import Config

_CODINGS_LEFT_ON = ("compress", "deflate", "gzip")  # no code decodes them; the parser has refused all others


class BridgedRequest(Request):
    """The request that gunicorn's `create` and users' hooks get."""

    def __init__(
        self,
        cfg: Config,
        *,
        method: str,
        uri: str,
        version: tuple[int, int],
        scheme: str,
        peer: Any,
        headers: Iterable[tuple[str, str]],
        body: Body,
        number: int,
        proxy: dict[str, Any] | None = None,
    ) -> None:
        """Take a parser's result; `headers` with their names in upper case, `proxy` from the PROXY protocol.

        Raises:
            Exception: one of gunicorn's, for requests that its WSGI workers refuse.
        """
        # Not super().__init__: that parses.
        self.cfg = cfg
        self.unreader = None
        self.method = method.upper() if cfg.casefold_http_method else method
        self.uri = uri
        try:
            parts = split_request_uri(uri)
        except ValueError as error:
            raise InvalidRequestLine(uri) from error
        self.path, self.query, self.fragment = parts.path or "", parts.query or "", parts.fragment or ""
        self.version = version
        self.scheme = scheme
        self.peer_addr = self.remote_addr = peer
        self.body = body
        self.trailers: list[tuple[str, str]] = []
        self.req_number = number
        self.proxy_protocol_info = proxy
        self.must_close = False
        self.headers: list[tuple[str, str]] = []
        scheme_headers, forwarder_headers = self._peer_trusted_for_forwarded()
        scheme_state, seen = [False], set[str]()
        for name, value in headers:
            kept = self._apply_header_policy(name, value, scheme_state, seen, scheme_headers, forwarder_headers)
            if kept is not None:
                self.headers.append(kept)
            if name == "TRANSFER-ENCODING" and any(coding in value.lower() for coding in _CODINGS_LEFT_ON):
                self.must_close = True
