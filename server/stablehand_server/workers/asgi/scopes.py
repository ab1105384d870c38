"""The scopes of a connection's requests: gunicorn's, built faster, and correct for Unix sockets."""

from __future__ import annotations

from typing import Any

from stablehand_server.gunicorn_internals.asgi import ASGIProtocol
from stablehand_server.measure.asgi import SOCKET_KEY


class _Versions(dict[tuple[int, int], str]):
    """The text of each version, made once."""

    def __missing__(self, version: tuple[int, int]) -> str:
        self[version] = text = f"{version[0]}.{version[1]}"
        return text


_VERSIONS = _Versions()


class Scopes(ASGIProtocol):
    """The part of a connection that describes a request to the app."""

    client: Any  # the socket
    worker: Any
    _recorder: Any
    _scope_addresses: tuple[Any, Any, Any, Any] | None

    def _build_http_scope(self, request: Any, sockname: Any, peername: Any) -> dict[str, Any]:
        known = self._scope_addresses
        if known is None or known[0] is not sockname or known[1] is not peername:
            scope: dict[str, Any] = super()._build_http_scope(
                request, sockname, peername
            )  # and they are known from then on
        else:  # the same (a test compares them), without repeating work for a connection's later requests
            scope = {
                "type": "http",
                "asgi": {"version": "3.0", "spec_version": "2.4"},
                "http_version": _VERSIONS[request.version],
                "method": request.method,
                "scheme": request.scheme,
                "path": request.path,
                "raw_path": request.raw_path,
                "query_string": request.query.encode("latin-1"),
                "root_path": self._root_path,
                "headers": request.headers_bytes.copy(),
                "server": known[2],
                "client": known[3],
                "state": self.worker.state.copy(),
            }
        if self._recorder is None:
            scope[SOCKET_KEY] = self.client
        return scope
